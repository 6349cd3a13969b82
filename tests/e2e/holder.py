# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds RBD images open until it is ended: holder.py CONF POOL[/NAMESPACE]/IMAGE[@] ..., with @ for reading only. For Debian's own Python."""

import signal
import sys

import rados
import rbd

cluster = rados.Rados(conffile=sys.argv[1])
cluster.connect()
held = []
for name in sys.argv[2:]:
    place, image = name.rstrip("@").rsplit("/", 1)
    pool, _slash, namespace = place.partition("/")
    ioctx = cluster.open_ioctx(pool)
    ioctx.set_namespace(namespace)
    held.append(rbd.Image(ioctx, image, read_only=name.endswith("@")))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("HELD", flush=True)
signal.sigwait([signal.SIGTERM])
for image in held:
    image.close()
cluster.shutdown()
