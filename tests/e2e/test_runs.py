"""Runs in a real browser: search as people type, marks, and charts as files without a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.results import example
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY, Lab
from tests.helpers.stored import store

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def shown_runs(page) -> str:
    """The line below the table that counts its rows."""
    lines = page.get_by_text(re.compile(r"^\d+( of \d+)? runs\.$"))
    return lines.first.inner_text() if lines.count() else ""


def test_the_table_follows_what_is_typed_without_enter(lab: Lab, page):
    example.install()
    for number in range(1, 13):
        store(name=f"bench-{number}", lora={"rank": number})
    page.goto(f"{lab.address}/runs")
    page.wait_for_selector(READY)
    wait_for(lambda: shown_runs(page) == "15 runs.")
    field = page.locator(".st-key-choose_search input")
    field.press_sequentially("bench-1", delay=60)
    wait_for(lambda: shown_runs(page) == "4 of 15 runs.")  # 1, 10, 11 and 12
    field.press_sequentially("1", delay=60)
    wait_for(lambda: shown_runs(page) == "1 of 15 runs.")
    assert field.evaluate("field => field === document.activeElement"), "nobody left the field"
    wait_for(lambda: "search=bench-11" in page.url)
    page.reload()
    wait_for(lambda: shown_runs(page) == "1 of 15 runs.")
    page.get_by_role("link", name="Set up").first.click()
    page.get_by_text("How much they differ").first.wait_for()
    assert page.get_by_text("This link cannot be opened").count() == 0


def test_a_chart_is_saved_as_a_png_and_as_an_svg_in_the_browser(lab: Lab, page, tmp_path: Path):
    outside = []
    page.on("request", lambda r: outside.append(r.url) if not lab.is_local(r.url) else None)
    example.install()
    page.set_default_timeout(120_000)
    page.goto(f"{lab.address}/live")
    chart = page.locator(".st-key-ways")
    chart.locator(".js-plotly-plot").wait_for()
    starts = {"PNG": b"\x89PNG", "SVG": b"<svg"}
    for kind, start in starts.items():
        chart.hover()
        with page.expect_download() as saved:
            chart.locator(f'.modebar-btn[data-title$=" {kind}"]').click()
        path = tmp_path / kind
        saved.value.save_as(path)
        assert saved.value.suggested_filename == f"fedvlm-ways.{kind.lower()}"
        assert path.read_bytes().startswith(start) and path.stat().st_size > 5000
    assert ">round</text>" in (tmp_path / "SVG").read_text(), "its letters are text"
    assert not outside
