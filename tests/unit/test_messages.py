# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each message that an operator can meet has a row in docs/when_something_goes_wrong.md, and each row has its message.

No list of messages is kept: they are found in the source. In plugins/ that is every literal text given to what is raised, to a
refusal, a warning or a msg, and every other literal of three words and more, unless it is said below why it is no message; in
roles/ and playbooks/ each msg and fail_msg. So a new message fails this test until it has a row.
"""

from __future__ import annotations

import ast
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ansible_collections.pilw.maintenance.plugins.module_utils._accept import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "when_something_goes_wrong.md"
SOURCES = sorted(path for path in (ROOT / "plugins").rglob("*.py") if path.parent.name != "doc_fragments")
TASKS = sorted([*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")])

# Stands in a template for what varies.
HOLE = "\0"
SQL = re.compile(r"\s*(ALTER|BEGIN|CREATE|DELETE|INSERT|ON CONFLICT|PRAGMA|SELECT|UPDATE)\b")
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
# Beside everything that is raised: calls whose texts an operator reads.
SINKS = {"refuse", "warn", "fail_json", "warnings.append", "notes.append"}

# What is no message: texts that go to `lines`, and those of the functions here. Of what they hand to an error or a warning
# each text counts all the same.
LINES = {"lines", "lines.append", "lines.insert"}
QUIET = {
    "limits.left_lines": "what the plan shows",
    "limits.owner_lines": "what the plan shows",
    "limits.spared_lines": "what the plan shows",
    "scope.group_order": "what the plan shows",
    "selection.right_form": "how an expression is to be written, after another message",
    "variable_check._form": "what a value looks like, within a message",
    "estimates.time_line": "what the plan shows",
    "force_limit.line": "what the plan shows",
    "force_limit.spared_by_group": "why a VM is not forced off, in a summary",
    "data.why_left": "what a report says of a VM",
    "paths.describe_disk": "what the plan shows",
    "controller.presence": "what somebody does, as others are shown",
    "_accept.plan_lines": "what the plan shows",
    "open_run.put_away": "what somebody does, as others are told",
    "data.headline": "what a report begins with",
    "data.why_untried": "what a report says of a VM",
    "data.attention": "what a report says of a VM",
    "report_page.tiles": "what a report shows",
    "report_page.flag": "what a report shows",
    "report_page.note": "what a report shows",
    "report_page.duration": "what a report shows",
    "report_chart._times": "what a report shows",
    "compose.notices": "the headline of a notice",
    "deliver._headline": "the headline of a notice",
    "engine._send": "words of an event in the record",
    "record.add_running": "words of an event in the record",
    "record.closing_host": "words of an event in the record",
    "record.host_written": "words of an event in the record",
    "record.forget_flags": "words of an event in the record",
    "record.vms_at_work": "conditions of a query",
    "progress.line": "how far the work is",
    "progress.totals": "how the work ended",
    "data.restore_command": "a command",
    "data.close_command": "a command",
    "leased_job.wait_command": "a command",
    "history.bring_back": "a command",
    "history.differences": "what a plan shows",
    "data.ways": "what comes next, at the end of a summary",
    "status.platform": "what a status shows",
    "readiness.read_state": "what the plan shows",
    "assessment.plan_lines": "what the plan shows",
    "verdict_text.covered": "what a proof covers, at the end of a summary",
}
# Texts that are no message of their own, by why.
NOT_ALONE = {
    "names of options": [
        "ca_path dest fetch_dest file notice_dir record record_copy record_dir running_vms src",
        "ceph machine notice notice_templates",
        "accept canary_vms command exclude_owners exclude_vms flags hosts hosts_keep_closed keep_closed never_force only_owners only_vms "
        "open_hosts osd_flags osd_flags_found osd_flags_unset pools",
    ],
    "part of a message": [
        "... To accept this: .........",
        "Make room or mend the disk, then run the same command again: it goes on.",
        "Nothing more is sent.",
        "So the work ends by itself; what was done is recorded.",
        "Nothing more is sent, and what the record held is whole.",
        "Nothing was changed on the platform.",
        "The record ... itself is whole.",
        "Numbers stand in backticks and text in single quotes, as in [?user_id==`8`] or [?name=='db1']",
        "Give it the right to read them, or name the pools with disks of VMs (ceph_maint_rbd_pools),",
        "... Nothing was changed....",
        "The call",
        "to the platform",
        "..., with ... forced off before......",
        "may destroy data",
    ],
    "looked for in what others say": [
        "no such virtual machine exists",
        "*** in database main ***",
        "decode to UTF-8",
    ],
    "names of columns or file systems": [
        "TEXT NOT NULL DEFAULT ''",
        "REAL NOT NULL DEFAULT 0",
        "nfs nfs4 cifs smb smb3 smbfs 9p afs lustre glusterfs beegfs gpfs ocfs2 gfs2 virtiofs davfs fuse.sshfs fuse.glusterfs "
        "fuse.davfs2 fuse.s3fs fuse.rclone fuse.smbnetfs fuse.curlftpfs fuse.juicefs",
        "state state_at stop_sent_at stop_sent_clock stop_answered_at stop_outcome stop_error stopped_at outlived_at "
        "force_sent_at start_sent_at start_answered_at start_outcome start_error started_at",
    ],
    "what somebody is at, within: Another run is at work": [
        "making the record",
        "opening the record",
        "setting host flags",
        "taking the list of running VMs",
        "looking at the VMs",
        "...starting VMs......cutting power...stopping VMs......",
    ],
    "words of an event in the record": [
        "flag of Ceph is being set",
        "still at work",
        "seen running after all",
        "did not stay up",
        "start held back",
        "power cut sent",
    ],
    "titles of a report": [
        "Ran through the outage",
        "Hosts still closed",
        "Did not come back",
        "Not tried yet",
        "Would not stop",
        "Power was cut",
    ],
    "what work waits for, or how far it is, while it lasts": [
        "Waiting for an answer from ....",
        "... the hosts: ... of ... are ......",
        "...; ... did not take it so far......",
        "Proof begun anew for ... of at most ... s",
        "...: VM ...... and ... more......",
        "...; the next list in ... s",
        "the former run is to end: ...",
        "... gives no list of VMs: ...",
        "VMs are looked at again when the hold time is over",
        "... VMs are being created, the first is ...",
        "VMs start and stop, so that no two lists agree",
        "...... VMs may still obey a stop that was sent to them.........",
    ],
    "words of an outcome in a summary": ["will be stopped", "would not stop", "did not start", "no answer kept"],
    "what comes next, at the end of a status": [
        "pilw.maintenance.ceph_maint_prepare goes on; pilw.maintenance.ceph_maint_restore undoes",
        "pilw.maintenance.ceph_maint_verify just before Ceph goes down; pilw.maintenance.ceph_maint_restore when it is back",
        "pilw.maintenance.ceph_maint_restore goes on",
        "pilw.maintenance.ceph_maint_restore tries those that do not run; pilw.maintenance.ceph_maint_close gives them up",
        "Give each of these commands the same inventory and the same settings of platform, location, record and Ceph as this one.",
    ],
    "the table of overrides": [text for kind in KINDS.values() for text in (kind.of, kind.accepts) if " " in text],
    "good news": [
        "  The report for people: ...",
        "SAFE TO TAKE CEPH DOWN",
        "The controller answers to ....",
        "two whole lists of VMs ... s apart, and one of running VMs between them, show none that is not stopped or deleted"
        "..., except those accepted......",
        "... VMs are on record in ..., and in running_vms.json beside it.",
        "...Ceph serves...Ceph still serves...",
        "......, except for what was accepted...........",
    ],
    "put after another message": [
        "... Nothing was changed.",
        "... Nothing was changed. ...",
        "... It is left as it is, and nothing more is sent. What can be done is said by ansible-playbook "
        "pilw.maintenance.ceph_maint_restore (without ceph_maint_confirm=true it changes nothing).",
        "Nothing was changed.",
        "... For a group that may be empty: optional: true.",
        " Variables of your own may begin with .... To run without these: ...",
        "... To go on",
        "...Did you mean ...?...The kinds are .......",
        ".... Make room, or choose another disk.",
        "...was taken...was sent, and its answer left unclear whether it was taken...",
        "...start......power cut...graceful stop......",
        " (X-Warren-Correlation-Id ...)",
        "What it did is recorded. Run the same command again: it goes on.",
        "Restart, out of memory?",
        "... (... images asked one by one... (each OSD asked...",
        "held back, as .... ...",
        "... To do without flags: the same command with -e ceph_maint_osd_flags=none......",
        "images open for reading only, clients of CephFS and RGW, and a client that has been frozen for more than 30 s",
        "  flags that are set: ...",
        "...... down...no OSD that is up...",
        "... Correct it, or leave it empty.",
        "... Correct ceph_maint_rbd_pools or ceph_maint_ceph_command.",
        "SMBIOS UUID (only root can read it)",
        "No flag was changed.",
        ".... Mend it, or see for yourself that no start is left at work.",
        "it is no absolute path",
        "what lies there is no plain file",
        "the folders of the records and their copies are for their own files",
        "VM ...: the ended maintenance ... sent it a start at ...",
        "Nothing more was started.",
        "Give the name that the certificate is for as api_host, or have the certificate renewed",
        "Give your own CA with ca_path",
        "Say which hosts are to stay closed at the end: -e ceph_maint_hosts_keep_closed=UUID,UUID (or none, when all of "
        "them took workloads before)",
        " If no maintenance is open any more, move what lies in ... to another folder.",
        " If the record is whole and lies elsewhere, set ceph_maint_record_dir as it was in the prepare.",
        "... The run can go on from .... Lost is what became of each VM since, and which ones outlived their stop: nothing "
        "counts as safe, and no power is cut without a new stop............. The damaged file is kept as .......",
        "...... It is kept as .......",
        "... names ..., written at ....",
        "The second copy ... holds ... VMs, and was last written at ....",
    ],
}
# Rows whose text comes from elsewhere, by where.
WORDED_ELSEWHERE = {
    "Ansible": [
        "Failed to import the required Python library",
        "Validation of arguments failed",
        "Timed out after n second(s)",
        "failed to execute in the expected time frame",
    ],
    "the platform, after: answered 404": ["no route and no api found"],
}


@dataclass(frozen=True)
class Template:
    """A text with holes, and where it stands. Not C(must): one that needs no row, but may have one."""

    text: str
    where: str
    must: bool = True

    @property
    def shown(self) -> str:
        return self.text.replace(HOLE, "...")

    def __str__(self) -> str:
        return f"{self.where}: {self.shown}"


def template(node: ast.AST) -> str | None:
    """The text of an expression that is put together from literals; None for any other expression."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [template(node.left), template(node.right)]
    elif isinstance(node, ast.IfExp):
        parts = ["", template(node.body), template(node.orelse), ""]
    else:
        return None
    if not any(parts):
        return None
    return (HOLE if isinstance(node, ast.IfExp) else "").join(HOLE if part is None else part for part in parts)


def parts(node: ast.AST) -> list[ast.AST]:
    """The expressions in the holes of such a text."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    if isinstance(node, ast.BinOp):
        inner = [node.left, node.right]
    elif isinstance(node, ast.IfExp):
        inner = [node.test, node.body, node.orelse]
    else:
        return []
    return [found for one in inner for found in (parts(one) if template(one) is not None else [one])]


def called(node: ast.Call) -> set[str]:
    """The names by which a call may be known: its last one, and its last two."""
    names = ast.unparse(node.func).split(".")
    return {names[-1], ".".join(names[-2:])}


def errors() -> set[str]:
    """PilwError and all that is derived from it."""
    classes = {
        node.name: {ast.unparse(base) for base in node.bases}
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    found = {"PilwError"}
    while more := {name for name, bases in classes.items() if bases & found} - found:
        found |= more
    return found


class Reader(ast.NodeVisitor):
    """Collects the templates of one file. C(said): within what an operator reads in any case; C(quiet): within lines."""

    def __init__(self, path: Path, told: set[str]) -> None:
        self.file, self.told = path.stem, told
        self.function, self.said, self.quiet = "", False, False
        self.found: list[Template] = []

    def visit(self, node: ast.AST) -> None:
        text = template(node)
        if text is None:
            super().visit(node)
            return
        words = len(re.findall(r"[A-Za-z]\w*", text)) if " " in text.strip() or re.fullmatch("[A-Z][a-z]+[.!]?", text) else 0
        if words >= (1 if self.said else 3) and not SQL.match(text):
            where = f"{self.file}.{self.function}"
            self.found.append(Template(text, where, self.said or not (self.quiet or where in QUIET)))
        for part in parts(node):
            self.visit(part)

    def within(self, node: ast.AST, **now: t.Any) -> None:
        before = {name: getattr(self, name) for name in now}
        self.__dict__.update(now)
        self.generic_visit(node)
        self.__dict__.update(before)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.within(node, function=node.name, said=False, quiet=False)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign | ast.AugAssign) -> None:
        targets = {ast.unparse(one).rsplit(".", maxsplit=1)[-1] for one in getattr(node, "targets", None) or [node.target]}
        if not targets & DOCUMENTATION:
            self.within(node, quiet=bool(targets & LINES))

    visit_AugAssign = visit_Assign

    def visit_Raise(self, node: ast.Raise) -> None:
        self.within(node, said=True)

    def visit_Call(self, node: ast.Call) -> None:
        names = called(node)
        if any(name.startswith("re.") for name in names):
            return  # what is looked for, not said
        self.within(node, said=self.said or bool(names & (self.told | SINKS)), quiet=self.quiet or bool(names & LINES))

    def visit_keyword(self, node: ast.keyword) -> None:
        self.within(node, said=self.said or node.arg == "msg")

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values):
            self.within(ast.Expression(value), said=self.said or getattr(key, "value", None) == "msg")


def of_python() -> list[Template]:
    found, told = [], errors()
    for path in SOURCES:
        reader = Reader(path, told)
        reader.visit(ast.parse(path.read_text(encoding="utf-8")))
        found += reader.found
    return found


def of_yaml() -> list[Template]:
    def texts(node: object):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            if key in ("msg", "fail_msg") and isinstance(value, str):
                yield re.sub(r"{{.*?}}", HOLE, value)
            else:
                yield from texts(value)

    return [
        Template(text, str(path.relative_to(ROOT)))
        for path in TASKS
        for text in texts(yaml.safe_load(path.read_text(encoding="utf-8")))
        if text.strip(HOLE)
    ]


def rows() -> list[str]:
    """The code spans of the first column of each table."""
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [span for line in table for span in re.findall(r"`([^`]+)`", line.split(" | ")[0])]


def pattern(row: str) -> re.Pattern[str]:
    """What a row says of a template: how it begins, or goes on after what varies when the row begins with dots."""
    begin = f"(^|{HOLE})[ .,:]*" if row.startswith("...") else "^"
    words = re.split(r"(\.\.\.|\bn\b|\d+)", row.removeprefix("...").strip())
    vary = {"...": ".*?", "n": f"{HOLE}+"}
    return re.compile(begin + "".join(vary.get(word) or _number(word) for word in words), re.DOTALL)


def _number(word: str) -> str:
    """A number of the page may be a hole of the template."""
    return f"({word}|{HOLE}+)" if word.isdigit() else re.escape(word)


def fits(row: str, one: Template) -> bool:
    return any(pattern(row).search(text) for text in (one.text, one.text.lstrip(HOLE)))


MESSAGES = [*of_python(), *of_yaml()]
ROWS = rows()
EXEMPT = [text for texts in NOT_ALONE.values() for text in texts]
ELSEWHERE = [text for texts in WORDED_ELSEWHERE.values() for text in texts]


@pytest.mark.parametrize("one", [one for one in MESSAGES if one.must and one.shown not in EXEMPT], ids=str)
def test_each_message_has_a_row(one):
    assert any(fits(row, one) for row in ROWS), f"{PAGE.name} says nothing of: {one}"


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_a_message(row):
    assert row in ELSEWHERE or any(fits(row, one) for one in MESSAGES), f"{PAGE.name} explains what is never said: {row}"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_enough_to_mean_one_message(row):
    assert len(re.findall(r"[A-Za-z]{2,}|\d+|\.\.\.", row)) >= 2
    assert len({one.text for one in MESSAGES if fits(row, one)}) <= 3, "a new message would slip in below this row"


def test_no_exception_outlives_its_text():
    shown, places = {one.shown for one in MESSAGES}, {one.where for one in MESSAGES}
    assert [text for text in EXEMPT if text not in shown] == []
    assert [place for place in QUIET if place not in places] == []
    assert [text for text in ELSEWHERE if text not in ROWS] == []


@pytest.mark.parametrize("one", [one for one in MESSAGES if one.shown not in NOT_ALONE["looked for in what others say"]], ids=str)
def test_a_message_can_be_read_in_the_output_of_ansible(one):
    assert not set('"\\') & set(one.text), "Ansible's output escapes it"


def test_a_new_message_is_found(tmp_path):
    """However it is put together."""
    path = tmp_path / "new.py"
    path.write_text(
        """
class Mine(InputError): pass
def work(plan, disk):
    lines = ["a line of a plan"]
    if disk: raise Refused(f"{disk} is full." + (" Make room." if disk else " Go away."))
    plan.refuse("Not like this, " + str(disk), (), f"item:{disk}")
    plan.warnings.append("Beware")
    why = disk or "no disk at all"
    lines.append("all is well here" if disk else Mine("No disk"))
    return {"failed": True, "msg": "Gone wrong"}
""",
        encoding="utf-8",
    )
    reader = Reader(path, errors() | {"Mine"})
    reader.visit(ast.parse(path.read_text(encoding="utf-8")))
    assert [one.shown for one in reader.found if one.must] == [
        "... is full.... Make room.... Go away....",
        "Not like this, ...",
        "Beware",
        "no disk at all",
        "No disk",
        "Gone wrong",
    ]
