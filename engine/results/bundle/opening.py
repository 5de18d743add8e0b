"""A bundle from anywhere, opened: checked as if a stranger had made it, then put in place at once.

Nothing is written but in a folder of its own until all has been checked; rows are committed only
with their files in place.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from db import bundles
from db.bundles import Dump
from db.dump_check import BadRows, checked
from db.engine import HEAD
from engine.config import ConfigError, ExperimentConfig
from engine.data.user.rows import shorten
from engine.data.user.zip_entries import (
    BROKEN,
    BadZip,
    check_entries,
    check_size,
    check_totals,
    read_rest,
)
from engine.fl.resolved import Resolved
from engine.paths import home, run_folder
from engine.results.bundle.factors import check_decision, check_factors, layers_of
from engine.results.bundle.files import ABOUT, FORMAT, ROWS, START, models_of
from engine.results.bundle.rows import BadBundle, config_of
from engine.system.machine import devices
from engine.vlm.imported_adapter import CONFIG, WEIGHTS, import_adapter
from engine.vlm.resolved import resolve_model

MAX_BUNDLE = 2 * 2**30  # bytes of all that is in it
_MAX_ENTRIES = 20_000
_MAX_FILE = 512 * 2**20
_MAX_ABOUT = 4 * 2**20
_SUFFIXES = (".json", ".safetensors")
_STEP = re.compile(r"\d{4}")
_Files = Mapping[str, zipfile.ZipInfo]


def open_bundle(source: Path | BinaryIO) -> int:
    """Add a bundle's experiment to this home; return its number. Raises BadBundle, OSError."""
    with _opened(source) as archive:
        files = _checked_files(archive)
        rows = _rows(archive, files)
        config = config_of(rows)
        _check_names(files, config, rows)
        with tempfile.TemporaryDirectory(dir=home(), prefix=".bundle-") as aside:
            _unpack(archive, files, Path(aside))
            _check_adapters(Path(aside), config, rows)
            _settle(rows, config, Path(aside))
            placed: list[Path] = []
            try:
                experiment, _ = bundles.load(rows, lambda ids: _place(Path(aside), ids, placed))
            except BaseException:
                for folder in placed:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            return experiment


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open the zip; whatever is wrong with it is BadBundle."""
    if isinstance(source, Path):
        source.open("rb").close()  # what cannot be read is named by the system
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (BadZip, BadRows) as error:
        raise BadBundle(str(error)) from None
    except zipfile.BadZipFile as error:
        raise BadBundle(f"this is not a whole bundle ({shorten(str(error))})") from None


def _checked_files(archive: zipfile.ZipFile) -> _Files:
    check_totals(archive, _MAX_ENTRIES, MAX_BUNDLE)
    files = check_entries((entry.filename, entry) for entry in archive.infolist())
    for name, entry in files.items():
        if not name.endswith(_SUFFIXES):
            kinds = "JSON and safetensors"
            raise BadBundle(f"it holds '{shorten(name)}'; only {kinds} are read, and never pickle")
        check_size(entry, name, _MAX_FILE)
    return files


def _read(archive: zipfile.ZipFile, files: _Files, name: str) -> bytes:
    if name not in files:
        raise BadBundle(f"it has no {name}, so it is none, or not whole")
    try:
        with archive.open(files[name]) as file:
            return read_rest(file, files[name], name, b"")
    except BadZip:
        raise
    except BROKEN as error:
        raise BadBundle(f"{name} in it is damaged ({shorten(str(error))})") from None


def _rows(archive: zipfile.ZipFile, files: _Files) -> Dump:
    """Return the rows, once all files are those that the bundle says it holds."""
    if ABOUT in files:
        check_size(files[ABOUT], ABOUT, _MAX_ABOUT)
    about = _json(_read(archive, files, ABOUT), ABOUT)
    digests = about.get("files") if isinstance(about, dict) else None
    if not isinstance(digests, dict) or type(about.get("format")) is not int:
        raise BadBundle(f"its {ABOUT} does not say what it holds")
    step = about.get("step")
    if not isinstance(step, str) or not _STEP.fullmatch(step):
        raise BadBundle(f"its {ABOUT} does not say of which lab it is")
    if about["format"] > FORMAT or step > HEAD:
        raise BadBundle(
            f"it is of a newer lab (step {step}; this one knows {HEAD}): update the lab"
        )
    if other := sorted(digests.keys() ^ (files.keys() - {ABOUT})):
        word = "lacks" if other[0] in digests else "does not name"
        raise BadBundle(f"it {word} {shorten(other[0])}")
    for name, said in digests.items():
        if sha256(_read(archive, files, name)).hexdigest() != said:
            raise BadBundle(f"{name} in it is not what was bundled: it has been changed or damaged")
    return checked(_json(_read(archive, files, ROWS), ROWS))


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BadBundle(f"{name} in it is no JSON") from None


def _check_names(files: _Files, config: ExperimentConfig, rows: Dump) -> None:
    """See that the adapters are those of the experiment: none is missing, nothing else there."""
    expected = {ABOUT, ROWS, *(name for name, _ in _adapters(config, rows))}
    expected |= {f"{START}/{name}" for name in (CONFIG, WEIGHTS) if config.start}
    if missing := sorted(expected - files.keys()):
        raise BadBundle(f"it lacks {missing[0]}")
    if others := sorted(files.keys() - expected):
        raise BadBundle(f"it holds '{shorten(others[0])}', which belongs to no run of it")


def _adapters(config: ExperimentConfig, rows: Dump) -> Iterator[tuple[str, str]]:
    """Yield the name of each file of factors, and the strategy of its run."""
    for run in rows["runs"]:
        for name in models_of(config, run["strategy"], run["rounds_done"]):
            yield f"runs/{run['id']}/{name}", run["strategy"]


def _unpack(archive: zipfile.ZipFile, files: _Files, folder: Path) -> None:
    """Write the files, whose names are known by now, but the rows."""
    for name in files.keys() - {ABOUT, ROWS}:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_read(archive, files, name))


def _check_adapters(folder: Path, config: ExperimentConfig, rows: Dump) -> None:
    layers, adapted = layers_of(config), set[str]()
    for name, strategy in _adapters(config, rows):
        rule = config.rule(strategy)
        if "/decision-" in name:
            check_decision(folder / name, name, max(1, len(rule.corners)))
            continue
        allowed = rule.personal_factors if "/clients/" in name else rule.shared_factors
        own = check_factors(folder / name, name, allowed, config.lora.rank, layers)
        if own and adapted and own != adapted:
            raise BadBundle(f"{name} is of other layers than the files before it")
        adapted |= own


def _settle(rows: Dump, config: ExperimentConfig, folder: Path) -> None:
    """Let the rows say what holds in this home: device, adapter to start from, no worker."""
    [experiment] = rows["experiments"]
    experiment["round_limit"] = None
    for run in rows["runs"]:
        run |= {"worker_id": None, "stop_requested": False, "deleted_at": None}
    if experiment["resolved"]:
        resolved = Resolved.from_dict(experiment["resolved"])
        if resolved.model.device not in devices():
            model = replace(resolved.model, device="cpu", dtype="float32")
            experiment["resolved"] = replace(resolved, model=model).to_dict()
    if config.start:
        arrived = config.model_copy(update={"start": str(folder / START)})
        try:
            kept = import_adapter(arrived, resolve_model(config))
        except ConfigError as error:
            raise BadBundle(f"the adapter that it starts from cannot be used: {error}") from None
        experiment["config"] = {**experiment["config"], "start": kept}


def _place(folder: Path, run_ids: Mapping[int, int], placed: list[Path]) -> None:
    """Move each run's files to where its new number says; ``placed`` notes what is there."""
    for old, new in run_ids.items():
        source, target = folder / "runs" / str(old), run_folder(new)
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)  # of a run of that number that is gone
            target.parent.mkdir(parents=True, exist_ok=True)
            placed.append(target)
            source.rename(target)
