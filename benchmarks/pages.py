"""How fast pages are where much is stored, and what an open Live costs.

``python benchmarks/pages.py [--experiments 200]`` fills a fresh home with experiments of three
runs, 50 rounds and 20 clients each, renders every page, then opens Live in a browser while an
experiment goes on, and writes ``benchmarks/PAGES.md``. Some minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["FEDVLM_HOME"] = tempfile.mkdtemp(prefix="fedvlm-pages-")

from engine.paths import keep_quiet  # noqa: E402

keep_quiet()

import psutil  # noqa: E402
from sqlalchemy import insert  # noqa: E402
from streamlit.testing.v1 import AppTest  # noqa: E402

from db import reads, writes  # noqa: E402
from db.engine import writing  # noqa: E402
from db.tables import ClientRound, Evaluation, Prediction, Round, Run  # noqa: E402
from engine.config import ExperimentConfig  # noqa: E402
from engine.jobs import queue  # noqa: E402

OUT = ROOT / "benchmarks" / "PAGES.md"
PAGES = ("start", "setup", "live", "clients", "ask")
VARIANTS = {"local": "personal", "fedit": "global", "plora": "personal"}
ROUNDS, CLIENTS, ITEMS = 50, 20, 12
WATCHED, ROUND_SECONDS = 20, 2.5  # seconds for which Live is watched; between two rounds


def rows_of(run: int, variant: str, round_: int) -> dict[type, list[dict[str, Any]]]:
    """Return what a run commits after a round."""
    shares = {k: min(0.95, 0.2 + round_ / 70 + k / 100) for k in range(CLIENTS)}
    key = {"run_id": run, "round": round_}
    scores = [
        {**key, "client": k, "variant": name, "scope": scope, "loss": 1 - share,
         "accuracy": share, "samples": 48}
        for k, share in shares.items()
        for name in ("base", variant)[round_ > 0 :]
        for scope in ("own", "pooled")
    ]  # fmt: skip
    trained = [
        {**key, "client": k, "samples": 192, "loss": 1.0, "seconds": 0.1, "bytes_up": 459_000,
         "bytes_down": 459_000, "drift_a": 0.1, "drift_b": 0.1}
        for k in shares
    ]  # fmt: skip
    rounds = [{**key, "seconds": 2.0, "aggregation_error": 0.1, "cosine_a": 0.1, "cosine_b": 0.1}]
    return {Evaluation: scores} | ({Round: rounds, ClientRound: trained} if round_ else {})


def put(tables: dict[type, list[dict[str, Any]]]) -> None:
    """Store rows by their tables."""
    with writing() as session:
        for table, rows in tables.items():
            session.execute(insert(table), rows)


def fill(experiments: int) -> None:
    """Store finished experiments, each with all its rounds and its last answers."""
    for number in range(experiments):
        config = ExperimentConfig(
            name=f"Stored {number}", clients=CLIENTS, rounds=ROUNDS, seed=number,
            strategies=tuple(VARIANTS),
        )  # fmt: skip
        _, runs = writes.create_experiment(
            config.model_dump(mode="json"), dict.fromkeys(VARIANTS, ROUNDS)
        )
        for run, variant in zip(runs, VARIANTS.values(), strict=True):
            tables: dict[type, list[dict[str, Any]]] = {}
            for round_ in range(ROUNDS + 1):
                for table, rows in rows_of(run, variant, round_).items():
                    tables.setdefault(table, []).extend(rows)
            tables[Prediction] = [
                {"run_id": run, "client": k, "variant": variant, "item": f"{k}-test-{i}",
                 "question": "What?", "reference": "yes", "answer": "yes" if i % 3 else "no",
                 "confidence": 0.9, "correct": bool(i % 3)}
                for k in range(CLIENTS)
                for i in range(ITEMS)
            ]  # fmt: skip
            put(tables)
    with writing() as session:
        stored = Run.__table__.update().where(Run.status == "queued")
        session.execute(stored.values(status="done", rounds_done=ROUNDS, wall_seconds=100.0))


def render(page: str) -> tuple[float, float]:
    """Return the seconds of a page's first render in this process, and the median of later ones."""
    took = []
    for _ in range(4):
        app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
        app.switch_page(f"../pages/{page}.py")
        start = time.perf_counter()
        app.run()
        took.append(time.perf_counter() - start)
        assert not app.exception, app.exception
    return took[0], median(took[1:])


def going_on() -> Iterator[None]:
    """Begin an experiment that this process pretends to work on, a round at a time."""
    worker = psutil.Process()
    writes.add_worker(worker.pid, worker.create_time(), takes_queue=True)
    config = ExperimentConfig(name="Going on", clients=CLIENTS, rounds=500,
                              strategies=tuple(VARIANTS))  # fmt: skip
    _, runs = writes.create_experiment(config.model_dump(mode="json"), dict.fromkeys(VARIANTS, 500))
    writes.claim_next(reads.workers()[-1].id)
    for run in runs:
        writes.start_run(run)
    for round_ in range(500):
        for run, variant in zip(runs, VARIANTS.values(), strict=True):
            put(rows_of(run, variant, round_))
        with writing() as session:
            mine = Run.__table__.update().where(Run.id.in_(runs))
            session.execute(mine.values(rounds_done=round_))
        yield


def watch() -> tuple[float, float] | None:
    """Return what an open Live costs the app, in cores: while rounds come, and between them."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rounds = going_on()
    next(rounds)
    app = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py"),
         "--server.port", str(port), "--server.headless", "true"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            tab = browser.new_page()
            _open(tab, f"http://127.0.0.1:{port}/live")
            for _ in range(10):  # a tab in which something has happened already
                next(rounds)
                tab.wait_for_timeout(500)
            costs = []
            for has_rounds in (True, False):
                before, end = _used(app.pid), time.monotonic() + WATCHED
                while time.monotonic() < end:
                    if has_rounds:
                        next(rounds)
                    tab.wait_for_timeout(1000 * ROUND_SECONDS)
                costs.append((_used(app.pid) - before) / WATCHED)
            browser.close()
    finally:
        app.terminate()
        app.wait(20)
    return costs[0], costs[1]


def _open(tab: Any, address: str) -> None:
    for _ in range(60):
        try:
            tab.goto(address)
            break
        except Exception:  # noqa: BLE001 - not up yet
            time.sleep(0.5)
    tab.locator(".js-plotly-plot").first.wait_for(timeout=60_000)


def _used(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Fill, render, watch and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=200)
    experiments = parser.parse_args().experiments
    queue.spawn_worker = lambda: None  # type: ignore[assignment]  # nothing is to be trained here
    render("start")  # brings the example, and imports
    fill(experiments)
    rows = {page: render(page) for page in PAGES}
    cost = watch()
    lines = [
        "# Pages\n",
        f"`python benchmarks/pages.py --experiments {experiments}`: {experiments} experiments × 3 "
        f"runs × {ROUNDS} rounds × {CLIENTS} clients are stored. {os.cpu_count()} cores, "
        f"{platform.machine()}, load {os.getloadavg()[0]:.1f}.\n",
        "| page | first render, s | again, s |\n|---|---|---|",
        *(f"| {page} | {first:.2f} | {again:.2f} |" for page, (first, again) in rows.items()),
    ]
    if cost:
        lines.append(
            f"\nLive in one open tab costs the app {cost[0]:.0%} of a core while three runs finish "
            f"a round every {ROUND_SECONDS} s, and {cost[1]:.0%} between rounds."
        )
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(OUT.read_text("utf-8"))
    shutil.rmtree(os.environ["FEDVLM_HOME"], ignore_errors=True)


if __name__ == "__main__":
    main()
