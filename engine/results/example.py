"""The finished experiment that comes with the lab, so that no page is ever empty.

``assets/example`` holds its rows as JSON and its last checkpoints, made from a real experiment by
``python -m engine bundle-example``; nothing in it is typed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

from filelock import FileLock

from db import bundles
from engine.config import ExperimentConfig
from engine.paths import EXAMPLE, home, run_folder
from engine.results.bundle.files import ROWS, models_of


def bundle(experiment_id: int) -> None:
    """Copy a finished experiment to ``assets/example``, replacing what is there."""
    rows = bundles.dump(experiment_id)
    config = ExperimentConfig.parse(rows["experiments"][0]["config"])
    shutil.rmtree(EXAMPLE, ignore_errors=True)
    for run in rows["runs"]:
        for name in models_of(config, run["strategy"], run["rounds_done"]):
            copy = EXAMPLE / "runs" / str(run["id"]) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(run_folder(run["id"]) / name, copy)
    (EXAMPLE / ROWS).write_text(json.dumps(rows, indent=None) + "\n", encoding="utf-8")


def install() -> None:
    """Put the example into the database of this FEDVLM_HOME, once."""
    if not (EXAMPLE / ROWS).exists() or bundles.has_bundled():
        return
    with FileLock(home() / "example.lock"):
        if bundles.has_bundled():
            return
        rows = json.loads((EXAMPLE / ROWS).read_text(encoding="utf-8"))
        bundles.load(rows, _copy_runs, bundled=True)


def _copy_runs(run_ids: Mapping[int, int]) -> None:
    for old, new in run_ids.items():
        shutil.copytree(EXAMPLE / "runs" / str(old), run_folder(new), dirs_exist_ok=True)
