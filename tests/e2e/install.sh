#!/bin/sh
# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# What the end-to-end tests need beside Python, from Debian's own packages: install.sh FOLDER [look]
# The kernel of the guests is only downloaded, to FOLDER: nothing of this machine boots it. Quick when all is there;
# with "look" it installs nothing. Exit status 3: cannot be had on this machine, and the last line says why.
set -eu
folder=$1
mode=${2:-install}
programs="ceph-mon ceph-osd ceph-mgr ceph-common python3-rbd python3-rados
    qemu-system-x86 qemu-block-extra busybox-static cpio e2fsprogs util-linux
    chromium fonts-dejavu-core
    openssh-server openssh-client passwd python3-requests python3-jmespath"

skip() {
    echo "SKIPPED: end-to-end tests: $*"
    exit 3
}

missing() {
    for package in $programs; do
        status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) || status=none
        [ "$status" = installed ] || printf '%s ' "$package"
    done
}

kernel() {
    find "$folder" -name 'linux-image-*.deb' | grep -q .
}

command -v apt-get >/dev/null || skip "no apt-get here, they need Debian"
[ "$(dpkg --print-architecture)" = amd64 ] || skip "they need an amd64 machine"
mkdir -p "$folder"
lacking=$(missing)
if [ -z "$lacking" ] && kernel; then
    echo "all packages there already"
    exit 0
fi
[ "$mode" = install ] || skip "make e2e installs what is missing: ${lacking:-the kernel of the guests}"
[ "$(id -u)" = 0 ] || skip "run them as root, or install first: ${lacking:-a kernel by $0 $folder}"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q || skip "apt-get update failed"
if [ -n "$lacking" ]; then
    # No daemon starts by being installed: the tests bring up their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # Nor at the next boot, where there was no sshd before: Debian's own way to say so.
    case " $lacking" in
    *" openssh-server "*)
        mkdir -p /etc/ssh
        echo "Written by tests/e2e/install.sh: this machine had no sshd, and runs none. Remove this file to have one." >/etc/ssh/sshd_not_to_be_run
        ;;
    esac
    # shellcheck disable=SC2086
    apt-get install -q -y --no-install-recommends $lacking || skip "apt-get could not install: $lacking"
fi
if ! kernel; then
    name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$name" ] || skip "apt knows no linux-image-cloud-amd64"
    (cd "$folder" && apt-get download -q -o APT::Sandbox::User=root "$name") || skip "apt-get could not download $name"
fi
