# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of Ceph that are no JSON for a strict parser, as their releases write them. Each names its source."""

from __future__ import annotations

# Reef 18.2.4 and later, `ceph osd dump`: the keys of read_balance as live clusters show them, and `:inf` without a blank as
# cernceph/ceph-scripts pull request 47 and rook/rook issue 17614 report it (tracker.ceph.com 64724, 66215; 18.2.5 has a fix).
OSD_DUMP_REEF = b"""
{"epoch":41,"fsid":"a-1","flags":"sortbitwise","flags_set":["sortbitwise"],"pools":[{"pool":2,"pool_name":"vms","pg_num":2,\
"application_metadata":{"rbd":{}},"read_balance":{"score_type":"Fair distribution","score_acting":inf,"score_stable":inf,\
"optimal_score":0,"raw_score_acting":0,"raw_score_stable":0,"primary_affinity_weighted":0,"average_primary_affinity":0,\
"average_primary_affinity_weighted":-nan}}],"osds":[{"osd":0,"up":1,"in":1},{"osd":1,"up":1,"in":1},{"osd":2,"up":1,"in":1}]}
"""
# The same releases, `ceph osd pool ls detail`: read_balance as above; a pool's name may hold the word itself.
POOLS_REEF = b"""
[{"pool_id":2,"pool_name":"vms","application_metadata":{"rbd":{}},"read_balance":{"score_acting":inf,"score_stable": inf}},\
{"pool_id":3,"pool_name":"a \\": inf, nan","application_metadata":{"rbd":{}},"read_balance":{"score_acting":-inf,"score_stable":nan}}]
"""
# Jewel, `ceph osd df`: ceph/ceph pull request 17480 shows `-nan` for an OSD that is out.
OSD_DF_JEWEL = b'{"nodes":[{"id":0,"utilization":-nan,"var":-nan}],"summary":{"average_utilization":-nan,"dev":0.000000}}\n'

# Pacific 16.2.15, `ceph osd blocklist ls`: two lists without a line end between them, seen on a cluster of that release.
BLOCKLIST_PACIFIC = b"""
[{"addr":"10.9.9.9:0/77","until":"2026-11-29T21:39:13.011884+0000"}][{"range":"10.1.114.0:0/24",\
"until":"2026-11-29T21:39:34.067775+0000"},{"range":"[2001:db8::]:0/48","until":"2026-11-29T21:39:35.335320+0000"}]"""
# The same without ranges. RamenDR's test environment notes the same form of a later release in a comment.
BLOCKLIST_WITHOUT_RANGES = b"""
[{"addr":"10.9.9.9:0/77","until":"2026-11-29T21:39:13.011884+0000"}][]"""
# Later releases: the range as text output has it (`cidr:100.64.0.0:0/30`, ceph/ceph-csi pull request 4815), on a line of its own.
BLOCKLIST_LATER = b"""
[{"addr":"100.64.0.3:0/0","until":"2024-09-02T16:39:14.528296+0000"}]
[{"range":"cidr:100.64.0.0:0/30","until":"2029-09-02T20:44:33.360855+0000"}]
"""
