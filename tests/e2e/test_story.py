"""The story of the lab as a visitor walks through it in a minute, in a real browser.

Every step is kept as a picture, light and dark, in ``var/story``: look at them.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest

from db import reads
from engine.paths import ROOT
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY, Lab

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(900),
]
PICTURES = ROOT / "var" / "story"
SIZES = {"small": (1280, 800), "large": (1920, 1080), "phone": (390, 844)}
ROUNDS = 5
# Streamlit asks for these below the page's address first, and then where they are.
STREAMLITS_OWN = re.compile(r"/_stcore/(host-config|health)$|\.map$")
GREETING = re.compile(r"^\s*$|URL:|You can now view|Uvicorn server started|uvicorn")


class Visitor:
    """A tab that notes each request to elsewhere, each error of a page, and keeps pictures."""

    def __init__(self, browser: Any, lab: Lab, theme: str = "light", size: str = "small") -> None:
        width, height = SIZES[size]
        viewport = {"width": width, "height": height}
        self.theme, self.lab = theme, lab
        self.tab = browser.new_context(viewport=viewport, color_scheme=theme).new_page()
        self.tab.set_default_timeout(120_000)
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.tab.on("request", self._note_request)
        self.tab.on("console", self._note_console)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note_request(self, request: Any) -> None:
        if not self.lab.is_local(request.url):
            self.outside.append(request.url)

    def _note_console(self, message: Any) -> None:
        where = message.location.get("url", "")
        if message.type == "error" and not STREAMLITS_OWN.search(where):
            self.errors.append(f"{message.text} ({where})")

    def open(self, address: str) -> None:
        self.tab.goto(address)
        self.rest()

    def rest(self) -> None:
        """Wait until the page is drawn, and see that nothing went wrong."""
        self.tab.wait_for_selector(READY)
        self.tab.wait_for_function(
            "() => !document.querySelector('[data-testid=stSkeleton],[data-testid=stSpinner]')"
        )
        assert self.tab.locator("[data-testid=stException]").count() == 0

    def keep(self, step: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=PICTURES / f"{step}-{self.theme}.png")

    def press(self, key: str) -> None:
        self.tab.locator(f".st-key-{key} button").click()


def test_the_story(lab, browser):
    light, dark = (Visitor(browser, lab, theme) for theme in ("light", "dark"))

    def keep(step: str) -> None:
        light.keep(step)
        dark.open(light.tab.url)
        dark.keep(step)

    light.open(lab.address)
    keep("1-start")
    check_access(light)
    light.tab.locator(".st-key-card_quickstart a").click()
    light.tab.wait_for_url(re.compile("/setup"))
    light.rest()
    light.tab.get_by_text("Client 3").first.wait_for()
    seconds = move_the_dial(light)
    assert seconds < on_this_load(1), f"the clients changed after {seconds:.2f} s"
    light.rest()
    keep("2-set-up")
    check_access(light)

    light.open(f"{lab.address}/setup?preset=quickstart&rounds={ROUNDS}")
    light.press("run")
    light.tab.wait_for_url(re.compile(r"/live\?experiment=\d+"))
    experiment = int(re.search(r"experiment=(\d+)", light.tab.url).group(1))
    light.press("pause")
    wait_for(lambda: all(run.status == "paused" for run in reads.runs_of(experiment)))
    light.tab.locator(".st-key-step button").wait_for()
    light.tab.get_by_text("Paused", exact=False).first.wait_for()
    light.tab.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for(state="attached")
    done = rounds_done(experiment)
    light.rest()
    keep("3-paused")
    check_access(light)

    light.tab.keyboard.press("o")  # one round
    wait_for(lambda: rounds_done(experiment) == {run: n + 1 for run, n in done.items()})
    wait_for(lambda: all(run.status == "paused" for run in reads.runs_of(experiment)))
    light.tab.locator(".st-key-go_on button").wait_for()
    light.tab.keyboard.press("g")
    light.tab.locator(".st-key-pause button").wait_for()
    light.tab.reload()
    light.rest()
    assert f"experiment={experiment}" in light.tab.url
    keep("4-going-on")
    wait_for(lambda: all(run.status == "done" for run in reads.runs_of(experiment)), seconds=300)
    light.tab.get_by_text("Done", exact=True).first.wait_for()
    light.tab.locator(".st-key-verdict").wait_for()
    light.rest()
    keep("5-verdict")
    check_access(light)

    light.tab.get_by_role("link", name="Ask its models").click()
    light.tab.wait_for_url(re.compile("/ask"))
    light.tab.locator(".st-key-answer_personal").get_by_text("✓ right").wait_for()
    light.tab.locator(".st-key-answer_global").get_by_text("✗ wrong").wait_for()
    light.rest()
    keep("6-ask")
    link = light.tab.url
    other = Visitor(browser, lab)
    other.open(link)
    other.tab.locator(".st-key-answer_personal").get_by_text("✓ right").wait_for()
    for card in ("answer_personal", "answer_global"):
        texts = [v.tab.locator(f".st-key-{card}").inner_text() for v in (light, other)]
        assert texts[0] == texts[1]
    check_quiet(lab, light, dark, other)


def test_pages_on_a_phone_and_on_a_stage(lab, browser):
    phone, stage = Visitor(browser, lab, size="phone"), Visitor(browser, lab, size="large")
    for name in ("", "setup", "live", "clients", "ask"):
        phone.open(f"{lab.address}/{name}")
        phone.keep(f"phone-{name or 'start'}")
        wide = phone.tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= SIZES["phone"][0], f"{name or 'start'} is wider than a phone"
    phone.open(f"{lab.address}/live")
    chart = phone.tab.locator(".js-plotly-plot").first.bounding_box()
    assert chart["y"] + 200 < SIZES["phone"][1], "the first chart is on the first screen"
    stage.open(f"{lab.address}/?stage=1")
    stage.keep("stage-start")
    stage.tab.get_by_role("link", name="Set up", exact=True).click()
    stage.tab.wait_for_url(re.compile("/setup"))
    stage.rest()
    letters = "getComputedStyle(document.documentElement).fontSize"
    assert stage.tab.evaluate(letters) == "24px" and "stage=1" in stage.tab.url
    assert not stage.tab.get_by_text("All settings").is_visible()
    stage.keep("stage-set-up")
    check_quiet(lab, phone, stage)


def on_this_load(seconds: float) -> float:
    """Return the time that so many seconds become where others keep the cores busy."""
    return seconds * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))


def move_the_dial(visitor: Visitor) -> float:
    """Turn the dial down and up again; return after how long the clients were other ones.

    In seconds, the best of some: whatever else the machine does is not the page's fault.
    """
    tab, took = visitor.tab, []
    night = tab.get_by_text("night camera").first
    night.wait_for()
    dial = tab.locator("[class*=st-key-heterogeneity-level] input")
    for key, state in 2 * [("Home", "detached"), ("End", "visible")]:
        dial.focus()
        start = time.perf_counter()
        tab.keyboard.press(key)
        night.wait_for(state=state)
        took.append(time.perf_counter() - start)
        visitor.rest()
    return min(took)


def rounds_done(experiment: int) -> dict[int, int]:
    return {run.id: run.rounds_done for run in reads.runs_of(experiment)}


def check_access(visitor: Visitor) -> None:
    """Have axe look at the page; what Streamlit builds by itself is not ours to change."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visitor.tab, options={"resultTypes": ["violations"]}).response["violations"]
    ours = [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
    assert not ours, "\n".join(ours)


def check_quiet(lab: Lab, *visitors: Visitor) -> None:
    for visitor in visitors:
        assert visitor.outside == [] and visitor.errors == []
    lines = [line for line in lab.log.splitlines() if not GREETING.search(line)]
    assert lines == []
