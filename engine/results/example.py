"""The finished experiment that comes with the lab, so that no page is ever empty.

``assets/example`` holds its rows as JSON and its last checkpoints, made from a real experiment by
``python -m engine bundle-example``; nothing in it is typed.
"""

from __future__ import annotations

import json
import shutil

from filelock import FileLock

from db import bundles
from engine.fl import checkpoints
from engine.paths import EXAMPLE, home, run_folder


def bundle(experiment_id: int) -> None:
    """Copy a finished experiment to ``assets/example``, replacing what is there."""
    rows = bundles.dump(experiment_id)
    shutil.rmtree(EXAMPLE, ignore_errors=True)
    for run in rows["runs"]:
        _copy_last_checkpoints(run["id"], run["rounds_done"])
    (EXAMPLE / "rows.json").write_text(json.dumps(rows, indent=None) + "\n", encoding="utf-8")


def install() -> None:
    """Put the example into the database of this FEDVLM_HOME, once."""
    if not (EXAMPLE / "rows.json").exists() or bundles.has_bundled():
        return
    with FileLock(home() / "example.lock"):
        if bundles.has_bundled():
            return
        rows = json.loads((EXAMPLE / "rows.json").read_text(encoding="utf-8"))
        for old, new in bundles.load(rows).items():
            shutil.copytree(EXAMPLE / "runs" / str(old), run_folder(new), dirs_exist_ok=True)


def _copy_last_checkpoints(run_id: int, last_round: int) -> None:
    source, target = run_folder(run_id), EXAMPLE / "runs" / str(run_id)
    last = [checkpoints.server_path(source, last_round), checkpoints.initial_path(source)]
    last += source.glob(f"clients/*/personal-{last_round:04d}.safetensors")
    for path in last:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
