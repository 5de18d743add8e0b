"""A bundle, made: a zip with the rows as JSON and the last adapters as safetensors."""

from __future__ import annotations

import json
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from db import bundles
from db.dump_check import BadRows, checked
from db.engine import HEAD
from db.tables import ALIVE
from engine.config import ExperimentConfig
from engine.jobs import lookup
from engine.jobs.queue import NotPossible
from engine.paths import run_folder
from engine.results.bundle.files import ABOUT, FORMAT, ROWS, START, models_of
from engine.system.files import write_whole
from engine.vlm.imported_adapter import CONFIG, WEIGHTS

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same experiment makes the same file


def bundle(experiment_id: int) -> bytes:
    """Return an experiment as a file that ``open_bundle`` reads.

    Raises NotPossible while it runs, and where its files are not all there; ConfigError where its
    config is of another version.
    """
    runs = lookup.runs_of(experiment_id)
    if alive := [run for run in runs if run.status in ALIVE]:
        state = f"run {alive[0].id} is {alive[0].status}"
        raise NotPossible(f"experiment {experiment_id} is not over ({state}); stop it first")
    try:
        rows = checked(bundles.dump(experiment_id))
    except BadRows as error:
        raise NotPossible(f"experiment {experiment_id} cannot be bundled: {error}") from None
    contents = {ROWS: json.dumps(rows).encode()}
    contents |= _adapters(ExperimentConfig.parse(runs[0].experiment.config), rows["runs"])
    about = {
        "format": FORMAT,
        "step": HEAD,
        "files": {name: sha256(content).hexdigest() for name, content in contents.items()},
    }
    return _zipped({ABOUT: json.dumps(about, indent=1).encode(), **contents})


def write_bundle(experiment_id: int, path: Path) -> int:
    """Write a bundle, whole or not at all; return its size in bytes. Raises as ``bundle``."""
    data = bundle(experiment_id)
    write_whole(path, data)
    return len(data)


def _adapters(config: ExperimentConfig, runs: list[dict]) -> dict[str, bytes]:
    files: dict[str, Path] = {}
    for run in runs:
        for name in models_of(config, run["strategy"], run["rounds_done"]):
            files[f"runs/{run['id']}/{name}"] = run_folder(run["id"]) / name
    if config.start:
        files |= {f"{START}/{name}": Path(config.start) / name for name in (CONFIG, WEIGHTS)}
    try:
        return {name: path.read_bytes() for name, path in files.items()}
    except FileNotFoundError as error:
        raise NotPossible(f"a file of the experiment is gone: {error.filename}") from None


def _zipped(contents: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            # Weights do not get smaller.
            is_text = name.endswith(".json")
            entry.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
            archive.writestr(entry, content)
    return buffer.getvalue()
