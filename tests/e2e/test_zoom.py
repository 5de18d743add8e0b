"""A chart that is looked at closely stays so when a round brings another point."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from db import reads
from db.engine import writing
from db.tables import Run
from engine.jobs.worker import registered
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY, Lab
from tests.helpers.stored import add_round, store

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
LOOK = """plot => ({
  x: plot.layout.xaxis.range.map(end => Math.round(end * 1000)),
  points: Math.max(...plot.data.map(line => line.x.length)),
  out: plot.data.filter(line => line.visible === "legendonly").map(line => line.name),
})"""

LOOKS = f"plots => plots.filter(plot => plot.layout).map({LOOK})"  # some are not drawn yet


def test_zoom_and_lines_put_out_stay_when_a_round_comes(lab: Lab, page):
    with registered(takes_queue=False) as worker:
        runs = store(("plora", "fedsa"), (0.2, 0.4, 0.6, 0.5), status="running", rounds=9)
        with writing() as session:
            session.execute(update(Run).values(worker_id=worker.id))
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{lab.address}/live?experiment=1")
        page.wait_for_selector(READY)
        chart = page.locator(".st-key-ways .js-plotly-plot")
        chart.wait_for()
        before = chart.evaluate(LOOK)
        area = chart.locator(".nsewdrag").first.bounding_box()
        across, down = (
            [area[side] + area[size] * share for share in (0.3, 0.7)]
            for side, size in (("x", "width"), ("y", "height"))
        )
        page.mouse.move(across[0], down[0])
        page.mouse.down()
        page.mouse.move(across[1], down[1], steps=8)
        page.mouse.up()
        wait_for(lambda: chart.evaluate(LOOK)["x"] != before["x"])
        chart.locator(".legendtoggle").first.click()
        wait_for(lambda: chart.evaluate(LOOK)["out"] != before["out"])
        looked = chart.evaluate(LOOK)
        for run in runs:
            add_round(run, reads.run(run).rounds_done + 1, 0.7)
        shown = page.locator(".st-key-ways .js-plotly-plot").evaluate_all
        wait_for(lambda: [p["points"] for p in shown(LOOKS)] == [before["points"] + 1])
        assert chart.evaluate(LOOK) == {**looked, "points": before["points"] + 1}
        chart.locator(".nsewdrag").first.dblclick()
        wait_for(lambda: chart.evaluate(LOOK)["x"] != looked["x"])
        page.get_by_role("link", name="Start").first.click()
        page.get_by_text("Start").first.wait_for()
        page.goto(f"{lab.address}/live?experiment=1")
        wait_for(lambda: shown(LOOKS))
        assert chart.evaluate(LOOK)["x"] != looked["x"] and not chart.evaluate(LOOK)["out"]
