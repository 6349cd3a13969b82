# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated controller: as much of the API of AWX 24.6.1 as the modules of awx.awx use to set up a workflow.

It runs nothing. It keeps objects in memory, finds them by filters, hides secrets, and refuses what AWX refuses: playbooks that a
project does not have, surveys and answers of the wrong type, answers that no survey asks for, a changed type of a credential in use.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

ENCRYPTED = "$encrypted$"
ASKS = (
    *("credential", "diff_mode", "execution_environment", "forks", "instance_groups", "inventory", "job_slice_count", "job_type", "labels"),
    *("limit", "scm_branch", "skip_tags", "tags", "timeout", "variables", "verbosity"),
)
SURVEYED = {"survey_enabled": False, "allow_simultaneous": False, "extra_vars": "", **{f"ask_{what}_on_launch": False for what in ASKS}}
# What an object of each kind has, with the values that AWX gives it.
FIELDS: dict[str, dict[str, t.Any]] = {
    "organizations": {"name": "", "description": ""},
    "credential_types": {"name": "", "description": "", "kind": "", "inputs": {}, "injectors": {}, "managed": False},
    "credentials": {"name": "", "description": "", "organization": None, "credential_type": None, "inputs": {}},
    "inventories": {"name": "", "description": "", "organization": None, "kind": "", "host_filter": None, "variables": ""},
    "hosts": {"name": "", "description": "", "inventory": None, "enabled": True, "variables": ""},
    "execution_environments": {"name": "", "description": "", "organization": None, "image": "", "credential": None, "pull": ""},
    "projects": {
        **{"name": "", "description": "", "organization": None, "scm_type": "", "scm_url": "", "scm_branch": "", "credential": None},
        **{"scm_update_on_launch": False, "scm_update_cache_timeout": 0, "timeout": 0, "allow_override": False, "scm_revision": ""},
    },
    "job_templates": {
        **{"name": "", "description": "", "organization": None, "job_type": "run", "inventory": None, "project": None, "playbook": ""},
        **{"execution_environment": None, "forks": 0, "limit": "", "verbosity": 0, "timeout": 0, "use_fact_cache": False},
        **{"become_enabled": False, "diff_mode": False, "job_slice_count": 1, **SURVEYED},
    },
    "workflow_job_templates": {"name": "", "description": "", "organization": None, "inventory": None, "limit": None, **SURVEYED},
    "workflow_job_template_nodes": {
        "identifier": "",
        "workflow_job_template": None,
        "unified_job_template": None,
        "extra_data": {},
        "all_parents_must_converge": False,
    },
    "workflow_approval_templates": {"name": "", "description": "", "timeout": 0},
    "notification_templates": {"name": "", "description": "", "organization": None},
    "project_updates": {"status": "pending"},
}
UNIFIED = ("projects", "job_templates", "workflow_job_templates", "workflow_approval_templates")
LINKED = {
    "job_templates": ("credentials", "labels", *(f"notification_templates_{when}" for when in ("started", "success", "error"))),
    "workflow_job_templates": ("labels", *(f"notification_templates_{when}" for when in ("started", "success", "error", "approvals"))),
    "workflow_job_template_nodes": ("success_nodes", "failure_nodes", "always_nodes", "credentials"),
}
TYPES = {"text": str, "textarea": str, "multiplechoice": str, "integer": int, "float": float}


class Refused(Exception):
    def __init__(self, status: int, body: t.Any) -> None:
        super().__init__(body)
        self.status, self.body = status, body


class Controller:
    """The objects, and what may be done with them. C(repositories) says which playbooks lie at which address."""

    def __init__(self, repositories: dict[str, list[str]], token: str) -> None:
        self.repositories, self.token = repositories, token
        self.objects: dict[str, dict[int, dict[str, t.Any]]] = {kind: {} for kind in FIELDS}
        self.links: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], dict[str, t.Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self.tokens: set[int] = set()
        self.number = 0
        self.lock = threading.Lock()
        self.add("organizations", name="Default")
        self.add("credential_types", name="Machine", kind="ssh", managed=True)

    # For tests: what is there, and what was there before.

    def add(self, what: str, /, **fields: t.Any) -> dict[str, t.Any]:
        self.number += 1
        found = {**FIELDS[what], **fields, "id": self.number, "type": what[:-1] if what != "inventories" else "inventory"}
        found["url"] = f"/api/v2/{what}/{self.number}/"
        self.objects[what][self.number] = found
        return found

    def named(self, kind: str, name: str) -> dict[str, t.Any]:
        key = "identifier" if kind == "workflow_job_template_nodes" else "name"
        (found,) = [one for one in self.objects[kind].values() if one[key] == name]
        return found

    def copy(self) -> Controller:
        """Another one, with the same in it; of what was written to this one it knows nothing."""
        other = Controller(self.repositories, self.token)
        other.objects, other.links, other.surveys = copy.deepcopy((self.objects, self.links, self.surveys))
        other.number = self.number
        return other

    def names(self, kind: str) -> list[str]:
        return sorted(one.get("identifier") or one["name"] for one in self.objects[kind].values())

    def linked(self, kind: str, name: str, what: str) -> list[str]:
        ids = self.links.get((kind, self.named(kind, name)["id"], what), [])
        target = kind if what.endswith("_nodes") else "notification_templates" if what.startswith("notification") else what
        return sorted(self.objects[target][one].get("identifier") or self.objects[target][one]["name"] for one in ids)

    # What is asked by HTTP.

    def shown(self, kind: str, found: dict[str, t.Any]) -> dict[str, t.Any]:
        related = {"survey_spec": f"{found['url']}survey_spec/"} if "survey_enabled" in found else {}
        body = {**found, "related": related, "summary_fields": {}}
        if kind == "credentials":
            secret = self.secrets(found)
            body["inputs"] = {key: ENCRYPTED if key in secret else value for key, value in found["inputs"].items()}
        if kind == "workflow_job_template_nodes" and found["unified_job_template"]:
            related["unified_job_template"] = self.unified(found["unified_job_template"])["url"]
        if kind == "projects" and found.get("updating"):
            body["summary_fields"] = {"current_update": {"id": found["updating"]}}
        return body

    def secrets(self, credential: dict[str, t.Any]) -> set[str]:
        kind = self.objects["credential_types"][credential["credential_type"]]
        return {field["id"] for field in kind["inputs"].get("fields", []) if field.get("secret")}

    def unified(self, number: int) -> dict[str, t.Any]:
        for kind in UNIFIED:
            if number in self.objects[kind]:
                return self.objects[kind][number]
        raise Refused(400, {"unified_job_template": [f'Invalid pk "{number}" - object does not exist.']})

    def listed(self, kind: str, filters: list[tuple[str, str]]) -> dict[str, t.Any]:
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        rows = [self.shown(one, found) for one in kinds for found in self.objects[one].values() if self.fits(found, filters)]
        return {"count": len(rows), "next": None, "previous": None, "results": rows}

    def fits(self, found: dict[str, t.Any], filters: list[tuple[str, str]]) -> bool:
        def fit(key: str, value: str) -> bool:
            name, _two, field = key.partition("__")
            if name not in found and not (name == "organization" and found["type"] == "workflow_approval_template"):
                raise Refused(400, {"detail": f"{found['type']} has no field named '{name}'"})
            if field:
                other = self.objects[f"{name}s"].get(found[name], {})
                return str(other.get(field)) == value
            return str(found.get(name)) == value

        either = [(key[4:], value) for key, value in filters if key.startswith("or__")]
        return all(fit(key, value) for key, value in filters if not key.startswith("or__")) and (
            not either or any(fit(key, value) for key, value in either)
        )

    def write(self, kind: str, body: dict[str, t.Any], found: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Make an object, or change one."""
        given = {key: value for key, value in body.items() if key in FIELDS[kind]}
        after = {**(found or FIELDS[kind]), **given}
        check = getattr(self, f"check_{kind}", None)
        if check:
            check(after, given, found)
        key = "identifier" if "identifier" in after else "name"
        if not after[key]:
            raise Refused(400, {key: ["This field is required."]})
        if found is None:
            found = self.add(kind, **{key: after[key] for key in FIELDS[kind]})
        else:
            found.update(after)
        if kind == "projects" and {"scm_url", "scm_branch"} & set(given):
            found["updating"] = self.add("project_updates", name=found["name"])["id"]
        return found

    def check_credential_types(self, after: dict, given: dict, found: dict | None) -> None:
        used = found and [one for one in self.objects["credentials"].values() if one["credential_type"] == found["id"]]
        if used and found and any(given.get(key, found[key]) != found[key] for key in ("inputs", "injectors")):
            raise Refused(403, {"detail": "Modifications to inputs are not allowed for credential types that are in use"})

    def check_credentials(self, after: dict, given: dict, found: dict | None) -> None:
        before = found["inputs"] if found else {}
        for key, value in after["inputs"].items():
            if value == ENCRYPTED:
                if key not in before:
                    raise Refused(400, {"inputs": {key: ["$encrypted$ is a reserved keyword, may not be used."]}})
                after["inputs"] = {**after["inputs"], key: before[key]}

    def check_job_templates(self, after: dict, given: dict, found: dict | None) -> None:
        project = self.objects["projects"].get(after["project"])
        if project is None:
            raise Refused(400, {"project": ["This field is required."]})
        after["organization"] = project["organization"]
        update = self.objects["project_updates"].get(project.get("updating"), {"status": "successful"})
        there = self.repositories.get(project["scm_url"], []) if update["status"] == "successful" else []
        if after["playbook"] not in there:
            raise Refused(400, {"playbook": ["Playbook not found for project."]})
        if not after["inventory"] and not after["ask_inventory_on_launch"]:
            raise Refused(400, {"inventory": ["Job Template must provide 'inventory' or allow prompting for it."]})
        json.loads(after["extra_vars"] or "{}")

    def check_workflow_job_template_nodes(self, after: dict, given: dict, found: dict | None) -> None:
        if not after["unified_job_template"]:
            return
        template = self.unified(after["unified_job_template"])
        asked = {one["variable"]: one for one in self.surveys.get((f"{template['type']}s", template["id"]), {}).get("spec", [])}
        unasked = sorted(set(after["extra_data"]) - set(asked))
        if unasked and not template.get("ask_variables_on_launch"):
            raise Refused(400, {"extra_data": [f"Variables {', '.join(unasked)} are not allowed on launch."]})
        wrong = [key for key, value in after["extra_data"].items() if not fits_question(asked[key], value)]
        if wrong:
            raise Refused(400, {"variables_needed_to_start": [f"Value for {', '.join(wrong)} is of the wrong type."]})

    def survey(self, kind: str, number: int, spec: dict[str, t.Any]) -> None:
        for field, expected in (("name", str), ("description", str), ("spec", list)):
            if not isinstance(spec.get(field), expected):
                raise Refused(400, {"error": f"Expected {expected.__name__} for field '{field}'."})
        if not spec["spec"] or len({one["variable"] for one in spec["spec"]}) < len(spec["spec"]):
            raise Refused(400, {"error": "'spec' doesn't contain any items, or a variable twice."})
        for one in spec["spec"]:
            if not all(isinstance(one.get(field), str) for field in ("type", "question_name", "variable")) or not isinstance(one.get("required"), bool):
                raise Refused(400, {"error": f"A field of {one} is missing, or of the wrong type."})
            if one.get("default") not in (None, "") and not fits_question(one, one["default"]):
                raise Refused(400, {"error": f"Default value {one['default']} in survey question expected to be {one['type']}."})
            if not all(is_a(int, one.get(key, 0)) for key in ("min", "max")):
                raise Refused(400, {"error": "The min limit in survey question expected to be integer."})
        self.surveys[kind, number] = spec

    def link(self, kind: str, number: int, what: str, body: dict[str, t.Any]) -> None:
        ids = self.links.setdefault((kind, number, what), [])
        if body.get("disassociate"):
            ids.remove(body["id"])
        elif body["id"] not in ids:
            ids.append(body["id"])

    def remove(self, kind: str, number: int) -> None:
        del self.objects[kind][number]
        for ids in self.links.values():
            if number in ids:
                ids.remove(number)


def is_a(kind: type, value: t.Any) -> bool:
    """No truth value is a number."""
    return isinstance(value, kind) and not isinstance(value, bool)


def fits_question(question: dict[str, t.Any], value: t.Any) -> bool:
    if question["type"] == "multiplechoice":
        return value in question["choices"]
    return is_a(TYPES[question["type"]], value) and not (question.get("min") and value < question["min"])


class Door(BaseHTTPRequestHandler):
    controller: Controller
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: t.Any) -> None:
        pass

    def answer(self, status: int, body: t.Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or "{}")
        url = urlsplit(self.path)
        with self.controller.lock:
            try:
                self.answer(*self.route(self.command, url.path, parse_qsl(url.query), body))
            except Refused as refused:
                self.answer(refused.status, refused.body)

    do_GET = do_POST = do_PATCH = do_DELETE = do

    def route(self, method: str, path: str, filters: list[tuple[str, str]], body: dict) -> tuple[int, t.Any]:
        awx = self.controller
        if path == "/api/v2/ping/":
            return 200, {"version": "24.6.1"}
        said = self.headers.get("Authorization", "")
        if said == "Basic " + base64.b64encode(f"admin:{awx.token}".encode()).decode() and path.startswith("/api/v2/tokens/"):
            if method == "POST":
                awx.number += 1
                awx.tokens.add(awx.number)
                return 201, {"id": awx.number, "token": awx.token}
            awx.tokens.discard(int(path.split("/")[4]))
            return 204, None
        if said != f"Bearer {awx.token}":
            return 401, {"detail": "Authentication credentials were not provided. To establish a login session, visit /api/login/."}
        if path == "/api/v2/me/":
            return 200, {"count": 1, "next": None, "results": [{"id": 1, "type": "user", "username": "admin"}]}
        if method != "GET":
            awx.writes.append((method, path))
        parts = re.fullmatch(r"/api/v2/(\w+)/(?:(\d+)/(?:(\w+)/)?)?", path)
        kind, number, what = parts.groups() if parts else ("", None, None)
        if number is None:
            if kind not in FIELDS and kind != "unified_job_templates":
                return 404, {"detail": "The requested resource could not be found."}
            if method == "GET":
                return 200, awx.listed(kind, filters)
            return 201, awx.shown(kind, awx.write(kind, body, None))
        found = awx.objects.get(kind, {}).get(int(number))
        if found is None:
            return 404, {"detail": "Not found."}
        return self.one(method, kind, found, what, body)

    def one(self, method: str, kind: str, found: dict[str, t.Any], what: str | None, body: dict) -> tuple[int, t.Any]:
        awx, number = self.controller, found["id"]
        if what is None:
            if method == "DELETE":
                awx.remove(kind, number)
                return 204, None
            if method == "PATCH":
                awx.write(kind, body, found)
            elif kind == "project_updates":
                # Done when it is looked at for the second time.
                seen, found["status"] = found["status"], "successful"
                return 200, {**found, "status": seen}
            return 200, awx.shown(kind, found)
        if what == "survey_spec" and "survey_enabled" in found:
            if method == "POST":
                awx.survey(kind, number, body)
            elif method == "DELETE":
                awx.surveys.pop((kind, number), None)
            return 200, awx.surveys.get((kind, number), {}) if method == "GET" else {}
        if what == "create_approval_template" and method == "POST":
            made = awx.write("workflow_approval_templates", body, None)
            found["unified_job_template"] = made["id"]
            return 201, awx.shown("workflow_approval_templates", made)
        if what in LINKED.get(kind, ()):
            if method == "POST":
                awx.link(kind, number, what, body)
                return 204, None
            ids = awx.links.get((kind, number, what), [])
            return 200, {"count": len(ids), "next": None, "results": [{"id": one} for one in ids]}
        return 404, {"detail": "Not found."}


class Served:
    """A controller on a port of the loopback address."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Door", (Door,), {"controller": controller}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
