# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a VM the machine that runs this?"""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._environment import machine as _machine

CALM = settings(deadline=None, database=None, derandomize=True)

UUID = "5b0cfa4e-1122-4334-8556-000000000001"
SWAPPED = "4efa0c5b-2211-3443-8556-000000000001"
TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.0.5
        /32 host LOCAL
     |-- 10.0.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 203.0.113.7
        /32 host LOCAL
Local:
     |-- 10.0.0.5
        /32 host LOCAL
"""


def vm(**row):
    return parse_vm({"uuid": UUID, "status": "running", **row})


def signs(one, **machine):
    return [(match.by, match.sure) for match in _machine.matches([one], [{"name": "here", **machine}])]


@pytest.mark.parametrize("own", [UUID, UUID.upper(), SWAPPED, SWAPPED.upper()])
def test_smbios_uuid_in_both_byte_orders(own):
    assert signs(vm(), smbios_uuid=own) == [("SMBIOS UUID", True)]


@CALM
@given(st.uuids())
def test_byte_order_never_matters(value):
    swapped = uuid.UUID(bytes_le=value.bytes)
    assert _machine.spellings(value) & _machine.spellings(swapped)
    assert str(value) in _machine.spellings(str(swapped))


@pytest.mark.parametrize("nothing", ["", None, "Not Settable", "0"])
def test_a_machine_without_identity_is_no_vm(nothing):
    assert _machine.spellings(nothing) == set()
    assert signs(vm(mac="", public_ipv4=None), smbios_uuid=nothing, macs=[], addresses=[]) == []
    assert signs(vm(), smbios_uuid=nothing, macs=None, addresses=None) == []


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"mac": "52:54:00:AA:00:01"}, [("MAC address", True)]),
        ({"public_ipv4": "203.0.113.7"}, [("public address", True)]),
        ({"private_ipv4": "10.0.0.5"}, [("private address", False)]),
        ({"private_ipv4": "10.0.0.5", "mac": "52:54:00:aa:00:01"}, [("MAC address", True)]),
        ({"mac": "52:54:00:aa:00:02", "public_ipv4": "203.0.113.8", "private_ipv4": "10.0.0.6"}, []),
        ({"mac": 5, "public_ipv4": None}, []),
        ({}, []),
    ],
)
def test_the_surest_sign_counts(row, found):
    machine = {"smbios_uuid": "", "macs": ["52:54:00:aa:00:01"], "addresses": ["10.0.0.5", "203.0.113.7"]}
    assert signs(vm(**row), **machine) == found


def test_odd_rows_of_the_platform_break_nothing():
    assert signs(vm(public_ipv4=["203.0.113.7"], private_ipv4={"a": 1}, mac=["x"]), addresses=["10.0.0.5"]) == []


def test_of_a_controller_that_names_itself_the_addresses_count(monkeypatch):
    asked = []

    def getaddrinfo(name, *more):
        asked.append(name)
        if name == "awx.example.com":
            return [(2, 1, 6, "", ("203.0.113.9", 0)), (2, 1, 6, "", ("127.0.0.1", 0))]
        raise OSError("no such name")

    monkeypatch.setattr(_machine.socket, "getaddrinfo", getaddrinfo)
    for url, found in (("https://awx.example.com:8043/x", ["203.0.113.9"]), ("https://gone.example.com", []), ("", []), ("https://[", [])):
        assert _machine._controller_addresses(url) == found
    assert asked == ["awx.example.com", "gone.example.com"]


def test_identity_reads_what_it_can(monkeypatch, tmp_path):
    (tmp_path / "uuid").write_text(f"{UUID}\n")
    (tmp_path / "trie").write_text(TRIE)
    for name, address in (("eth0", "52:54:00:AA:00:01\n"), ("lo", "00:00:00:00:00:00\n"), ("tun0", "\n")):
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "address").write_text(address)
    monkeypatch.setattr(_machine, "_PRODUCT_UUID", str(tmp_path / "uuid"))
    monkeypatch.setattr(_machine, "_NET", str(tmp_path / "net"))
    monkeypatch.setattr(_machine, "_FIB_TRIE", str(tmp_path / "trie"))
    found = _machine.identity()
    assert found["smbios_uuid"] == UUID
    assert found["macs"] == ["52:54:00:aa:00:01"]
    assert found["addresses"] == ["10.0.0.5", "203.0.113.7"]
    assert found["unread"] == []


def test_one_network_device_without_an_address_hides_no_other(monkeypatch, tmp_path):
    (tmp_path / "a-bonding_masters").write_text("")  # a plain file lies in /sys/class/net where bonding is loaded
    for name in ("b0", "b1", "b2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(f"52:54:00:00:00:0{name[1]}\n")
    monkeypatch.setattr(_machine, "_NET", str(tmp_path))
    monkeypatch.setattr(_machine.os, "listdir", lambda path: ["a-bonding_masters", "b0", "b1", "b2"])
    assert len(_machine.identity()["macs"]) == 3


def test_identity_says_what_it_could_not_read(monkeypatch, tmp_path):
    for name in ("_PRODUCT_UUID", "_NET", "_FIB_TRIE"):
        monkeypatch.setattr(_machine, name, str(tmp_path / "none"))
    found = _machine.identity()
    assert found["unread"] == ["SMBIOS UUID (only root can read it)", "MAC addresses", "addresses"]
    assert (found["smbios_uuid"], found["macs"], found["addresses"]) == ("", [], [])
