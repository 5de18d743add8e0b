"""The quickstart over seeds: ``python benchmarks/quickstart.py [--seeds 5]``.

Runs the preset as a user would, at its own level of heterogeneity and at level 0, each run in a
fresh process and a fresh FEDVLM_HOME, and writes the figures to ``benchmarks/QUICKSTART.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "QUICKSTART.md"
HEADER = (
    "| seed | base | alone | FedIT, global | pLoRA, personal | over alone | over FedIT "
    "| worst client, pLoRA | first round | all |"
)


def measure(seed: int, level: float | None) -> dict[str, float]:
    """Run a quickstart from the command line; accuracies in percent, times in seconds."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "FEDVLM_HOME": home}
        command = [sys.executable, "-m", "engine", "run", "--preset", "quickstart", "--json"]
        command += ["--set", f"seed={seed}"]
        command += ["--set", f"heterogeneity.level={level}"] if level is not None else []
        began, start = datetime.now().astimezone(), time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        seconds = time.perf_counter() - start
        local, fedit, plora = json.loads(done.stdout.splitlines()[-1])["runs"]
        first = first_round(home, local["run"])
    return {
        "seed": seed,
        "base": 100 * fedit["base_accuracy"],
        "local": 100 * local["personal_accuracy"],
        "fedit": 100 * fedit["global_accuracy"],
        "plora": 100 * plora["personal_accuracy"],
        "worst": 100 * plora["worst_client_accuracy"],
        "first_round": (first - began).total_seconds(),
        "all": seconds,
    }


def first_round(home: str, run_id: int) -> datetime:
    """Return the time at which the first round of a run was committed."""
    query = "SELECT finished_at FROM rounds WHERE run_id = ? AND round = 1"
    with sqlite3.connect(f"{home}/fedvlm.db") as database:
        [text] = database.execute(query, (run_id,)).fetchone()
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(rows: list[dict[str, float]]) -> list[str]:
    """Write the rows and their mean as a Markdown table."""
    average = {key: mean(row[key] for row in rows) for key in rows[0]} | {"seed": "mean"}
    return [
        HEADER,
        "|---" * 10 + "|",
        *(
            f"| {row['seed']} | {row['base']:.1f} % | {row['local']:.1f} % | {row['fedit']:.1f} % "
            f"| {row['plora']:.1f} % | {row['plora'] - row['local']:+.1f} points "
            f"| {row['plora'] - row['fedit']:+.1f} points | {row['worst']:.1f} % "
            f"| {row['first_round']:.0f} s | {row['all']:.0f} s |"
            for row in [*rows, average]
        ),
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    torn = [measure(seed, None) for seed in seeds]
    alike = [measure(seed, 0.0) for seed in seeds]
    lines = [
        "# The quickstart over seeds",
        "",
        f"Written by `python benchmarks/quickstart.py --seeds {len(seeds)}` on {os.cpu_count()} "
        f"{platform.machine()} cores, no GPU, Python {platform.python_version()}. Accuracy is the "
        "mean over clients of exact matches on each client's own 48 test items, after the last "
        "round. Times count from the start of a cold process.",
        "",
        "## Four sites that disagree: `mixed`, level 0.8",
        "",
        *table(torn),
        "",
        "## Everyone alike: level 0",
        "",
        *table(alike),
    ]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
