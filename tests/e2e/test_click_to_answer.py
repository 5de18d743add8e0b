"""The whole path in a real browser: press Run, watch the rounds, ask, read three answers."""

import re
import signal

import pytest

from db import reads
from engine.jobs import queue
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(600),
]


def test_from_click_to_answer(lab, page):
    address = lab.address
    outside: list[str] = []
    page.on("request", lambda r: None if lab.is_local(r.url) else outside.append(r.url))

    page.goto(f"{address}/setup")
    page.wait_for_selector(READY)
    page.locator(".st-key-preset [role=combobox], .st-key-preset input").first.click()
    page.get_by_role("option", name="Tiny").click()
    page.wait_for_selector(".st-key-clients\\:tiny, [class*='st-key-clients-tiny']")
    page.locator(".st-key-run button").click()

    page.wait_for_url(re.compile(r"/live\?experiment=\d+"))
    experiment = int(re.search(r"experiment=(\d+)", page.url).group(1))
    runs = reads.runs_of(experiment)
    plora = next(run.id for run in runs if run.strategy == "plora")
    wait_for(lambda: all(run.status == "done" for run in reads.runs_of(experiment)))
    page.get_by_text("Done", exact=True).first.wait_for()
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
    page.goto(lab.address)
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Run the quickstart").click()
    page.wait_for_url(re.compile(r"/live\?experiment=\d+"))
    experiment = int(re.search(r"experiment=(\d+)", page.url).group(1))
    run_id = reads.runs_of(experiment)[0].id
    wait_for(lambda: reads.run(run_id).rounds_done >= 1)
    page.close()
    lab.process.send_signal(signal.SIGINT)
    lab.process.wait(20)
    done = reads.run(run_id).rounds_done
    wait_for(lambda: reads.run(run_id).rounds_done > done or reads.run(run_id).rounds == done)
    queue.mark_interrupted()
    assert reads.run(run_id).status in ("running", "done")
