# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for people in a real browser: in both colour schemes, on a phone, on paper; hostile names do nothing, and many VMs stay usable."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Host, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from ansible_collections.pilw.maintenance.plugins.module_utils._report import data as _data
from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_page import render

BROWSER = "/usr/bin/chromium"
# Looked at by people after a change, and shown in the documentation.
SHOTS = Path(__file__).resolve().parents[2] / ".build" / "screenshots"
DESK, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}
HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"><svg onload="document.title=\'owned\'">',
    "</title><style>*{display:none}</style>",
    "</details></section></main><iframe src=//example.com>",
    "{{ 7 * 7 }}",
    "web" * 300,
    "\u202egnp.exe \u0000 \u200f",
)


@pytest.fixture(scope="module")
def browser() -> t.Iterator[Browser]:
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


def night(folder: Path, vms: int, owners: int = 40, names: tuple[str, ...] = ()) -> str:
    """The page of a maintenance in which some guests had to be cut, one ran through and one did not come back."""
    record = Record.create(str(folder / "record.sqlite"), api_host="api.example.com", location="tll01", reason="replace monitor disks")
    token = record.begin_run("ann on desk", "prepare")
    record.remember_hosts(token, [Host(f"host-{number:04}", f"rack{number}", number != 3, "", {}) for number in range(12)], ())
    for number in range(12):
        if number != 3:
            record.closing_host(token, f"host-{number:04}")
            record.host_written(token, f"host-{number:04}", False)
    rows = [
        {"uuid": f"{number:08}-0000-4000-8000-000000000000", "user_id": 8 + number % owners, "name": f"vm-{number}", "status": "running"}
        for number in range(vms)
    ]
    for row, name in zip(rows, names):
        row["name"] = name
    record.add_running(token, [vm for vm in map(parse_vm, rows) if vm], late=False)
    record.set_phase(token, "stopping")
    record.write(token, [_stopped(number, row["uuid"]) for number, row in enumerate(rows)])
    record.write_safe(token, "SAFE TO TAKE CEPH DOWN", ["two lists"])
    record.set_phase(token, "starting")
    for number in range(11):
        if number != 3:
            record.host_written(token, f"host-{number:04}", True)
    record.write(token, [_started(number, row["uuid"]) for number, row in enumerate(rows)])
    record.end_run(token)
    page = render(json.loads(json.dumps(_spread(_data.report_data(record)))))
    record.close()
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


def _stopped(number: int, uuid: str) -> Change:
    word = "would_not_stop" if number == 1 else "forced" if number % 50 == 2 else "clean"
    return Change(uuid, {"stop_outcome": word, "stopped_at": "2027-01-15T01:10:00Z", "state": "stopped"}, f"stop: {word}")


def _started(number: int, uuid: str) -> Change:
    word = "already_running" if number == 1 else "failed" if number == 0 else "running"
    error = "POST /v1/user-resource/admin/vm/start answered 500: Unable to start virtual machine" if word == "failed" else None
    state = "stopped" if word == "failed" else "running"
    columns = {"start_outcome": word, "start_error": error, "started_at": "2027-01-15T03:20:00Z", "state": state}
    return Change(uuid, columns, f"start: {word}")


def _spread(data: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same as if it had taken a night: the record writes down the time at which this test ran."""

    def clock(minute: int) -> str:
        return f"2027-01-15T{1 + minute // 60:02}:{minute % 60:02}:00Z"

    count = data["counts"]["vms"]
    down = [{"at": clock(12 + step), "running": max(count - count * step // 20, 1)} for step in range(21)]
    up = [{"at": clock(130 + step), "running": min(1 + count * step // 20, count - 1)} for step in range(21)]
    words = ("closing", "recorded", "stopping", "safe", "opening", "starting")
    phases = [{"phase": word, "at": clock(minute)} for word, minute in zip(words, (9, 10, 11, 40, 128, 130))]
    data["maintenance"].update(opened_at=clock(9), safe_at=clock(40))
    return {**data, "written_at": clock(160), "phases": phases, "running": [{"at": clock(9), "running": count}, *down, *up]}


def opened(browser: Browser, address: str, scheme: t.Literal["light", "dark"] = "light", size: t.Any = None) -> tuple[Page, list[str]]:
    """The page, and all that it complained of or asked for."""
    seen: list[str] = []
    page = browser.new_context(color_scheme=scheme, viewport=size or DESK).new_page()
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("request", lambda request: seen.append(request.url) if request.url != address else None)
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    page.goto(address)
    return page, seen


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"report-{name}.png"), full_page=True)


def contrast(page: Page, selector: str) -> float:
    """Of a text against what is behind it, as WCAG counts it."""
    return page.evaluate(
        """selector => {
            const parse = text => text.match(/[\\d.]+/g).map(Number);
            const light = rgb => { const [r, g, b] = rgb.slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
            let one = document.querySelector(selector), behind = one;
            const front = light(parse(getComputedStyle(one).color));
            while (/rgba\\(.*, 0(\\.\\d+)?\\)|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
            const back = light(parse(getComputedStyle(behind).backgroundColor));
            return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize(
    ("name", "scheme", "size"),
    [("light", "light", DESK), ("dark", "dark", DESK), ("phone", "light", PHONE), ("phone-dark", "dark", PHONE)],
)
def test_it_is_read_in_both_colour_schemes_and_on_a_phone(browser: Browser, tmp_path: Path, name: str, scheme: t.Any, size: t.Any) -> None:
    page, seen = opened(browser, night(tmp_path, 400), scheme, size)
    assert seen == [], "it complains, or asks somewhere else"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    assert page.locator("h1").inner_text() == "399 of 400 VMs run again or are gone; hosts still closed: 1"
    for selector in ("h1", "body", ".quiet", ".tile span", "#attention h3", "#attention code", ".mark"):
        assert contrast(page, selector) >= 4.5, selector
    titles = page.locator("#attention h3").all_inner_texts()
    assert [title.rsplit(" ", 1)[0] for title in titles] == [
        *("Ran through the outage", "Hosts still closed", "Did not come back", "Power was cut"),
    ]
    drawn = page.locator("svg .line").bounding_box()
    assert drawn and drawn["height"] > 80 and drawn["width"] > 250, "there is no line in the chart"
    labels = [label.bounding_box() for label in page.locator("svg .name").all()]
    for one in labels:
        for other in labels:
            assert one is not None and other is not None
            apart = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"] or abs(one["y"] - other["y"]) > 8
            assert one == other or apart, "one label covers another"
    shot(page, name)
    page.locator("details.owner > summary").first.click()
    page.locator("#timeline summary").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    shot(page, f"{name}-unfolded")
    page.context.close()


def test_names_of_tenants_do_nothing(browser: Browser, tmp_path: Path) -> None:
    page, seen = opened(browser, night(tmp_path, 12, 3, HOSTILE))
    for summary in page.locator("summary").all():
        summary.click()
    assert seen == [] and "owned" not in page.title()
    assert page.locator("main script, main style, main img, main iframe, main svg").count() == 1, "beside the chart nothing came in"
    text = page.locator("#owners").inner_text()
    assert all(name[:40] in text for name in HOSTILE[:7])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long name widens the page"
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long name widens the page on a phone"
    page.context.close()


def test_it_prints(browser: Browser, tmp_path: Path) -> None:
    page, seen = opened(browser, night(tmp_path, 60), "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "ink"
    assert contrast(page, "h1") >= 4.5
    assert len(page.pdf(format="A4")) > 10000 and seen == []
    page.context.close()


def test_ten_thousand_vms_stay_usable(browser: Browser, tmp_path: Path) -> None:
    """Shares of one machine's time: what a person waits for is a part of what the same page of 1,000 VMs takes, times ten."""
    took = {}
    for vms in (1000, 10000):
        (tmp_path / str(vms)).mkdir()
        address, began = night(tmp_path / str(vms), vms, 300), time.monotonic()
        page, seen = opened(browser, address)
        page.locator("details.owner > summary").nth(5).click()
        page.evaluate("document.body.offsetHeight")
        took[vms] = time.monotonic() - began
        assert seen == [] and page.locator("details.owner").count() == 300
        assert page.evaluate("document.body.scrollHeight") < 40000, "the details are folded"
        page.context.close()
    assert took[10000] < 20 * took[1000], took
