"""A report in a real browser without a network: it draws what the database has, and is quiet."""

from __future__ import annotations

import pytest

from db import reads
from engine.results import example
from engine.results.report.page import report, write_report
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def test_a_report_opens_offline_and_answers_to_the_mouse(home, tmp_path, browser):
    example.install()
    *_, plora = reads.bundled_runs()
    file = tmp_path / "report.html"
    write_report(report(plora.experiment_id), file)
    tab = browser.new_context(offline=True, color_scheme="dark").new_page()
    tab.set_default_timeout(120_000)
    asked, told = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.goto(file.as_uri())
    drawn = "document.querySelectorAll('.chart .main-svg').length >= 5"
    wait_for(lambda: tab.evaluate(drawn))  # wait_for_function is against the page's policy
    trace = "document.getElementById('ways').data.at(-1)"
    [last] = [row for row in reads.summaries([plora])]
    assert tab.evaluate(f"{trace}.y.at(-1)") == pytest.approx(last.personal_accuracy)
    tab.locator("#ways .nsewdrag").hover()
    hover = tab.locator("#ways .hoverlayer .hovertext")
    hover.first.wait_for()
    assert "after round" in hover.first.text_content()
    images = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    assert tab.evaluate(images)
    width = "document.documentElement.scrollWidth <= innerWidth"
    tab.set_viewport_size({"width": 390, "height": 844})
    wait_for(lambda: tab.evaluate(width))
    paper = "getComputedStyle(document.documentElement).getPropertyValue('--paper')"
    dark = tab.evaluate(paper)
    assert tab.pdf(path=tmp_path / "report.pdf")[:4] == b"%PDF"
    assert tab.evaluate(paper) == dark, "what is printed leaves the page as it was"
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    assert not told
