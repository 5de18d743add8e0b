"""The whole path in a real browser: press Run, watch the rounds, ask, read three answers."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from db import reads
from engine.jobs import queue
from engine.paths import ROOT
from engine.system.processes import is_alive
from tests.conftest import wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(600),
]
READY = "[data-testid='stApp'][data-test-script-state='notRunning']"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def healthy(address: str) -> bool:
    try:
        return urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).status == 200
    except OSError:
        return False


@pytest.fixture
def lab(home, tmp_path):
    """The app as a user starts it, from another folder; returns its address and process."""
    port = free_port()
    log = (tmp_path / "streamlit.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py"),
         "--server.port", str(port), "--server.headless", "true"],
        cwd=tmp_path, env={**os.environ, "FEDVLM_HOME": str(home)}, stdout=log, stderr=log,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    wait_for(lambda: healthy(address))
    yield address, process
    process.terminate()
    process.wait(20)
    for worker in reads.workers():
        if is_alive(worker):
            os.kill(worker.pid, signal.SIGKILL)


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def test_from_click_to_answer(lab, page):
    address, streamlit = lab
    outside: list[str] = []
    page.on("request", lambda r: None if is_local(r.url, address) else outside.append(r.url))

    page.goto(f"{address}/setup")
    page.wait_for_selector(READY)
    page.locator(".st-key-preset [role=combobox], .st-key-preset input").first.click()
    page.get_by_role("option", name="Tiny").click()
    page.wait_for_selector(".st-key-clients\\:tiny, [class*='st-key-clients-tiny']")
    page.get_by_role("button", name="Run", exact=True).click()

    page.wait_for_url(re.compile(r"/live\?run=\d+"))
    run_id = int(re.search(r"run=(\d+)", page.url).group(1))
    plora = run_id + 1
    wait_for(lambda: reads.run(plora).status == "done")
    page.get_by_text("is done").first.wait_for()
    page.get_by_text("2 of 2").first.wait_for()
    page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for(state="attached")

    page.goto(f"{address}/ask?run={plora}&client=1&item=3")
    page.wait_for_selector(READY)
    for variant in ("base", "global", "personal"):
        card = page.locator(f".st-key-answer_{variant}")
        card.get_by_text(re.compile(r"✓ right|✗ wrong")).wait_for()
        card.get_by_text(re.compile(r"\d+% sure")).wait_for()
        card.get_by_text(variant, exact=False).first.wait_for()
    before = page.locator(".st-key-answer_personal").inner_text()
    page.reload()
    page.locator(".st-key-answer_personal").wait_for()
    wait_for(lambda: page.locator(".st-key-answer_personal").inner_text() == before)
    assert f"run={plora}" in page.url and "client=1" in page.url
    assert outside == []


@pytest.mark.slow
def test_a_run_outlives_the_tab_and_the_app(lab, page):
    address, streamlit = lab
    page.goto(address)
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Run the quickstart").click()
    page.wait_for_url(re.compile(r"/live\?run=\d+"))
    run_id = int(re.search(r"run=(\d+)", page.url).group(1))
    wait_for(lambda: reads.run(run_id).rounds_done >= 1)
    page.close()
    streamlit.send_signal(signal.SIGINT)
    streamlit.wait(20)
    done = reads.run(run_id).rounds_done
    wait_for(lambda: reads.run(run_id).rounds_done > done or reads.run(run_id).rounds == done)
    queue.mark_interrupted()
    assert reads.run(run_id).status in ("running", "done")


def is_local(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))
