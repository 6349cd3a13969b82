# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request for each method: path, parameters, and what an odd answer becomes."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import Api
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, InputError, NoRoute, NotFound


class Wire:
    """Stands for the client: keeps what was asked, gives one answer."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def _give(self, *asked):
        self.asked.append(asked[:3])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def get(self, path, params, timeout, once=False):
        return self._give("GET", path, params)

    def rows(self, path, params, timeout, once=False):
        return iter(self._give("GET", path, params))

    def send(self, method, path, form, timeout):
        return self._give(method, path, form)


def api(answer, location=None):
    wire = Wire(answer)
    return Api(wire, location), wire


@pytest.mark.parametrize(("location", "lead"), [(None, "/v1"), ("", "/v1"), ("tll01", "/v1/tll01")])
@pytest.mark.parametrize(
    ("call", "request_"),
    [
        (lambda one: one.vms(), ("GET", "/user-resource/vm/all", None)),
        (lambda one: one.running_vms(), ("GET", "/user-resource/vm/all", {"status": "running"})),
        (lambda one: one.hosts(), ("GET", "/base-operator/host/list", None)),
    ],
)
def test_lists(location, lead, call, request_):
    one, wire = api([], location)
    call(one)
    assert wire.asked == [(request_[0], lead + request_[1], request_[2])]


def test_locations_are_asked_without_a_slug():
    one, wire = api([{"slug": "tll01", "display_name": "Tallinn", "is_default": True}], "tll01")
    assert [(found.slug, found.is_default) for found in one.locations()] == [("tll01", True)]
    assert wire.asked == [("GET", "/v1/config/locations", None)]


@pytest.mark.parametrize("row", [5, None, "x", {}, {"slug": None}, {"slug": 5}, {"slug": "../x"}, {"slug": ""}])
def test_odd_locations_are_left_out(row):
    found = api([row, {"slug": "tll_01"}])[0].locations()
    assert [one.slug for one in found] == ["tll_01"]


@pytest.mark.parametrize(
    ("action", "force", "form"),
    [("stop", False, {"uuid": "a"}), ("stop", True, {"uuid": "a", "force": "True"}), ("start", False, {"uuid": "a"})],
)
def test_power(action, force, form):
    one, wire = api({"uuid": "a", "status": "Stopped"})
    assert one.power("a", action, force) == "stopped"
    assert wire.asked == [("POST", f"/v1/user-resource/admin/vm/{action}", form)]


@pytest.mark.parametrize("answer", [[], "ok", {}, {"uuid": "other", "status": "stopped"}])
def test_a_power_answer_that_says_nothing_of_this_vm_has_no_state(answer):
    assert api(answer)[0].power("a", "stop") == ""
    assert api(None)[0].power("a", "stop") is None, "no body at all is told apart"


@pytest.mark.parametrize(("accepting", "flag"), [(True, "1"), (False, "0")])
def test_host_flag(accepting, flag):
    one, wire = api(None)
    one.set_accepting("h", accepting)
    assert wire.asked == [("PUT", "/v1/base-operator/admin/host_flags", {"uuid": "h", "is_accepting_workloads": flag})]


@pytest.mark.parametrize("uuid", ["", "a b", "a&force=True", "../a", None])
def test_nothing_is_sent_for_what_is_no_uuid(uuid):
    one, wire = api(None)
    for call in (lambda: one.power(uuid, "stop"), lambda: one.set_accepting(uuid, True), lambda: one.vm(uuid)):
        with pytest.raises(InputError, match="nothing was sent for it"):
            call()
    assert wire.asked == []


@pytest.mark.parametrize("slug", ["../x", "a/b", "a b", "-a", "x" * 65])
def test_a_location_that_is_no_slug(slug):
    with pytest.raises(InputError, match="is not a location slug, such as tll01"):
        Api(Wire([]), slug)


def test_one_vm_by_its_detail():
    one, wire = api({"uuid": "a", "status": "deleted"})
    assert one.vm("a").state == "deleted"
    assert wire.asked == [("GET", "/v1/user-resource/admin/vm", {"uuid": "a"})]
    assert api(NotFound("GET", "/x", status=400))[0].vm("a") is None


@pytest.mark.parametrize(
    "error", [NoRoute("GET", "/x", status=404), AuthError("GET", "/x", status=403), ApiError("GET", "/x", status=500)]
)
def test_only_the_platforms_own_word_makes_a_vm_gone(error):
    with pytest.raises(ApiError):
        api(error)[0].vm("a")


@pytest.mark.parametrize("answer", [None, [], {}, {"uuid": "b", "status": "stopped"}])
def test_a_detail_of_something_else_is_an_error(answer):
    with pytest.raises(ApiError, match="the answer is not the VM a"):
        api(answer)[0].vm("a")


def test_an_unknown_slug_is_said_to_be_one():
    error = NoRoute("GET", "/x", status=404, detail="no route", correlation_id="c-1")
    with pytest.raises(ApiError) as caught:
        api(error, "nosuch")[0].vms()
    assert str(caught.value) == (
        "GET /v1/nosuch/user-resource/vm/all answered 404: no route. The location slug is wrong, or this host does not serve "
        "the Warren API (X-Warren-Correlation-Id c-1)"
    )


def test_the_platforms_filter_is_not_trusted_and_bad_rows_are_kept_in_mind():
    rows = [{"uuid": "a", "status": "Running"}, {"uuid": "b", "status": "stopped"}, {"name": "no uuid"}]
    found = api(rows)[0].running_vms()
    assert list(found.vms) == ["a"]
    assert len(found.unreadable) == 1
    hosts = api([{"uuid": "h"}, {"uuid": "h h"}])[0].hosts()
    assert list(hosts.hosts) == ["h"] and len(hosts.unreadable) == 1
