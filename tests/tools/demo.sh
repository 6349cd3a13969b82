#!/bin/sh
# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A whole maintenance of a simulated platform: 120 VMs of 12 owners on 6 hosts, of which one was closed before. A few
# VMs ignore a graceful stop, and one does not start again, so that the end has something to say.
set -eu
root=$(pwd)
work=$(mktemp -d)
python "$root/tests/simulator" --vms 120 --owners 12 --hosts 6 --closed-hosts 1 --deaf 5 --fail-start 1 \
    --time-scale 0.02 --key demo-key --port-file "$work/port" --options '{"running": 0.9, "host_name_shown": true}' &
cloud=$!
trap 'kill "$cloud"; rm -rf "$work"' EXIT
tries=0
while [ ! -s "$work/port" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "The simulated platform does not come up."; exit 1; }
    sleep 0.1
done
API_HOST="http://$(cat "$work/port")"
ADMIN_APIKEY=demo-key
export API_HOST ADMIN_APIKEY

status=0
ansible-playbook -i "$root/tests/demo/inventory.yml" pilw.maintenance.ceph_maintenance \
    -e "@$root/tests/fast.yml" \
    -e "ceph_maint_record_dir=$work/records" \
    -e "ceph_maint_playbook=$root/tests/demo/ceph.yml" \
    -e ceph_maint_reason=demo \
    -e ceph_maint_force=true \
    -e ceph_maint_confirm=true || status=$?

echo
echo "One VM of the simulated platform never starts, so the maintenance ends as failed (exit status 2) and names it."
if [ "$status" -ne 2 ]; then
    echo "This one ended with exit status $status instead."
    exit 1
fi
