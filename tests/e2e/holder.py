# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds RBD images open until it is ended: holder.py CONF POOL[/NAMESPACE]/IMAGE[@] ..., with @ for reading only. For Debian's own Python."""

import sys
import time

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
print("HELD", flush=True)
time.sleep(100000)
