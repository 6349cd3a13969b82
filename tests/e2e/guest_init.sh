#!/bin/sh
# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The first process of a guest; kind=polite|deaf and slow=SECONDS come from its kernel's command line. It adds numbered
# 64-byte records to a file on its disk, and acknowledges each on the console once it is safe there: none may ever be lost.
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
kind=polite
slow=0
read -r words </proc/cmdline
for word in $words; do
    case $word in
        kind=*) kind=${word#kind=} ;;
        slow=*) slow=${word#slow=} ;;
    esac
done
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    insmod "/modules/$module.ko"
done
if [ "$kind" != deaf ]; then
    insmod /modules/button.ko
    insmod /modules/evdev.ko
    acpid -l /dev/null
fi
tries=0
while [ ! -b /dev/vda ] && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
if ! mount -t ext4 /dev/vda /data; then
    echo "NO DISK"
    poweroff -f
fi
boot=1
[ ! -e /data/boots ] || boot=$(($(cat /data/boots) + 1))
echo "$boot" | dd of=/data/boots conv=fsync 2>/dev/null
next=0
[ ! -e /data/log ] || next=$(awk 'END { print NR }' /data/log)
echo "GUEST UP kind=$kind boot=$boot records=$next"
while [ ! -e /stop ]; do
    if printf 'rec %010d boot %05d %37s\n' "$next" "$boot" '' | dd of=/data/log bs=64 seek="$next" conv=notrunc,fsync 2>/dev/null; then
        echo "ACK $next"
        next=$((next + 1))
    else
        echo "WRITE FAILED $next"
    fi
    sleep 1
done
[ "$slow" = 0 ] || sleep "$slow"
umount /data && echo "CLEAN OFF records=$next"
sync
poweroff -f
