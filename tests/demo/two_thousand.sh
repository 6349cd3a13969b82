#!/bin/sh
# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A night with 2,000 VMs on a simulated platform, as an operator types it; the recording in docs/recording is of this:
#   asciinema rec -c "sh tests/demo/two_thousand.sh" docs/recording/two_thousand.cast
# All times of the platform, and those that the operator gives, are a tenth of what they would be: a stop takes 2.2 s in the place of 22.
# Run it from a checkout whose environment is made and active (make setup; . .build/nox/dev/bin/activate).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
vms=${1:-2000}
python "$root/tests/simulator" --vms "$vms" --owners 120 --hosts 40 --closed-hosts 1 --deaf 6 --fail-start 2 \
    --time-scale 0.1 --key demo-key --port-file "$work/port" \
    --options '{"seed": 7, "host_name_shown": true, "fail_start_times": 4}' >"$work/cloud.log" 2>&1 &
cloud=$!
trap 'kill "$cloud"; rm -rf "$work"' EXIT
tries=0
while [ ! -s "$work/port" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { cat "$work/cloud.log"; exit 1; }
    sleep 0.1
done

API_HOST="http://$(cat "$work/port")"
ADMIN_APIKEY=demo-key
ANSIBLE_COLLECTIONS_PATH=$root/.build/link
ANSIBLE_LOCALHOST_WARNING=False
ANSIBLE_INVENTORY_UNPARSED_WARNING=False
ANSIBLE_DISPLAY_SKIPPED_HOSTS=False
export API_HOST ADMIN_APIKEY ANSIBLE_COLLECTIONS_PATH ANSIBLE_LOCALHOST_WARNING ANSIBLE_INVENTORY_UNPARSED_WARNING ANSIBLE_DISPLAY_SKIPPED_HOSTS
cat >"$work/night.yml" <<END
ceph_maint_record_dir: $work/records
ceph_maint_record_copy: $work/copy
ceph_maint_accept: same-disk:$work/copy
ceph_maint_reason: replace monitor disks
ceph_maint_concurrency: 64
ceph_maint_window: 30
ceph_maint_stop_timeout: 60
ceph_maint_poll_interval: 0.5
ceph_maint_proof_interval: 3
ceph_maint_verify_hold: 6
END
cd "$work"

type_and_run() {
    printf '\n\033[1m$ ansible-playbook %s\033[0m\n' "$*"
    ansible-playbook "$@" || printf '\033[1m(exit status %s)\033[0m\n' "$?"
}

type_and_run pilw.maintenance.ceph_maint_plan -e @night.yml
type_and_run pilw.maintenance.ceph_maint_prepare -e @night.yml -e ceph_maint_confirm=true
type_and_run pilw.maintenance.ceph_maint_status -e @night.yml
type_and_run pilw.maintenance.ceph_maint_prepare -e @night.yml -e ceph_maint_confirm=true -e ceph_maint_force=true
type_and_run pilw.maintenance.ceph_maint_verify -e @night.yml
printf '\n\033[1m# Here Ceph goes down, and comes back.\033[0m\n'
type_and_run pilw.maintenance.ceph_maint_restore -e @night.yml -e ceph_maint_confirm=true -e ceph_maint_ceph_is_back=true
type_and_run pilw.maintenance.ceph_maint_restore -e @night.yml -e ceph_maint_confirm=true -e ceph_maint_ceph_is_back=true
[ -z "${KEEP_REPORT:-}" ] || cp "$work"/records/*/*.report.html "$work"/records/*/*.report.json "$KEEP_REPORT"
