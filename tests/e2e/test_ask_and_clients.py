"""Ask and Clients in a real browser: a cold answer, the keyboard, a link, an analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.answering.wire import published
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY, Lab

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(600),
]


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_selector(READY)
    return page


def answers_in(page: Any) -> list[str]:
    texts = []
    for variant in ("base", "global", "personal"):
        card = page.locator(f".st-key-answer_{variant}")
        card.get_by_text("% sure").wait_for()
        card.locator("b").wait_for()  # its name and its answer come a little later
        texts.append(card.inner_text())
    return texts


def test_answers_come_from_one_process_and_a_link_opens_the_same_view(lab: Lab, page, browser):
    opened(page, f"{lab.address}/ask")
    before = answers_in(page)
    page.locator(".st-key-answer_personal").get_by_text("✓ right").wait_for()
    page.locator(".st-key-answer_global").get_by_text("✗ wrong").wait_for()
    answering = published()
    maps = Path(f"/proc/{lab.process.pid}/maps")
    assert not maps.exists() or "libtorch" not in maps.read_text(), "the page loads no model"

    address = page.url
    page.keyboard.press("n")
    page.wait_for_function("before => location.href !== before", arg=address)
    wait_for(lambda: answers_in(page) != before)
    page.get_by_text("All clients", exact=True).click()
    page.get_by_text("All clients, the same picture").wait_for()
    page.get_by_text("Where they looked", exact=True).click()
    page.get_by_alt_text("Where the personal model looked").wait_for()
    page.locator(".st-key-link button").first.click()
    link = page.locator("[data-testid=stCode]").inner_text().strip()
    assert link == page.url and link.startswith(lab.address)

    other = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    opened(other, link)
    assert answers_in(other) == answers_in(page)
    other.get_by_text("All clients, the same picture").wait_for()
    other.get_by_alt_text("Where the personal model looked").wait_for()
    assert published() == answering, "all visitors share one"


def test_an_analysis_is_computed_on_request_and_kept(lab: Lab, page):
    opened(page, f"{lab.address}/clients")
    page.get_by_role("button", name="Compare them").click()
    page.get_by_text("A as a map: near is alike").wait_for()
    page.get_by_role("button", name="Compute the matrix").click()
    page.get_by_text("A light diagonal").wait_for()
    page.reload()
    page.get_by_text("A light diagonal").wait_for()
    assert page.get_by_role("button", name="Compare them").count() == 0
