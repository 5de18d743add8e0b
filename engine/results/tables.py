"""Everything that is stored of some runs as tables: data frames, CSV and Parquet.

``runs`` has a row per run with its figures and its config's keys; ``clients`` what each client
holds; ``rounds``, ``client_rounds`` (training by client), ``evaluations`` and ``predictions`` are
the rows of the database. pandas is imported when a table is made: it takes a quarter of a second.
"""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import reads, table_rows
from db.tables import Run
from engine.config import flat
from engine.jobs.queue import NotPossible
from engine.results.folders import new_folder

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("runs", "clients", "rounds", "client_rounds", "evaluations", "predictions")
# What a spreadsheet takes for the start of a formula, also in letters of full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def frames(run_ids: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Return all tables of these runs by name. Raises NoSuchRun."""
    return {name: frame(name, run_ids) for name in TABLES}


def frame(table: str, run_ids: Sequence[int]) -> pd.DataFrame:
    """Return one of ``TABLES`` of these runs. Raises NoSuchRun."""
    import pandas as pd

    runs = reads.chosen_runs(run_ids)
    if table == "runs":
        return pd.DataFrame(_run_rows(runs))
    if table == "clients":
        stored = table_rows.of_clients({run.experiment_id for run in runs})
    else:
        stored = table_rows.of_runs(table, run_ids)
    made = pd.DataFrame(stored.rows, columns=list(stored.columns))
    # A column of which nothing is known would have no type.
    numbers = {name: float for name, kind in stored.columns.items() if kind is float}
    return made.astype(numbers)


def to_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV that a spreadsheet opens as it is.

    A text that would begin a formula gets an apostrophe before it; numbers stay numbers. A byte
    order mark comes first: without it Excel takes UTF-8 for its country's letters.
    """
    safe = table.map(lambda cell: _guarded(_text(cell)))
    # All text in quotes: a carriage return within one would else end the row.
    return safe.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode("utf-8-sig")


def to_parquet(table: pd.DataFrame) -> bytes:
    """Return a table as Parquet; what is nested in a cell is JSON."""
    buffer = BytesIO()
    table.map(_text).to_parquet(buffer, index=False)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {"csv": to_csv, "parquet": to_parquet}


def write(run_ids: Sequence[int], folder: Path, kind: str) -> list[Path]:
    """Write all tables of these runs into a new folder; return the files.

    Raises NoSuchRun, and NotPossible for another kind than ``csv`` and ``parquet``, or a folder
    that cannot be used.
    """
    if kind not in FORMATS:
        raise NotPossible(f"format: '{kind}' is none; allowed: {', '.join(FORMATS)}")
    reads.chosen_runs(run_ids)
    new_folder(folder)
    paths = []
    for name, content in _files(run_ids, kind):
        path = folder / name
        path.write_bytes(content)
        paths.append(path)
    return paths


def zipped(run_ids: Sequence[int], kind: str) -> bytes:
    """Return what ``write`` writes as a zip file. Raises NoSuchRun."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _files(run_ids, kind):
            archive.writestr(name, content)
    return buffer.getvalue()


def _files(run_ids: Sequence[int], kind: str) -> Iterator[tuple[str, bytes]]:
    for name in TABLES:
        yield f"{name}.{kind}", FORMATS[kind](frame(name, run_ids))


def _run_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row per run: what it is, its figures, when it was, and every key of its config."""
    rows = []
    for run, summary in zip(runs, reads.summaries(runs), strict=True):
        figures = asdict(summary)
        config = {k: v for k, v in flat(run.experiment.config).items() if k != "strategies"}
        rows.append(
            {
                "experiment": run.experiment_id,
                "run": figures.pop("run"),
                "name": run.experiment.name,
                **figures,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                **{key: _joined(value) for key, value in config.items() if key != "name"},
            }
        )
    return rows


def _joined(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _text(cell: Any) -> Any:
    """Write what is nested as JSON."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict | list) else cell


def _guarded(cell: Any) -> Any:
    is_formula = isinstance(cell, str) and cell.startswith(_FORMULA)
    return f"'{cell}" if is_formula and not _NUMBER.fullmatch(cell) else cell
