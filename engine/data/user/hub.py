"""A data set of the Hugging Face hub, brought into a folder as people would bring one.

Only as many rows as asked for are read (streamed); a second call finds the folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from engine.config import ConfigError, Data
from engine.data.account import Problem, Problems
from engine.data.user import known
from engine.data.user.columns import choose
from engine.data.user.folder import SPLIT_FOLDERS, has_tables
from engine.data.user.hub_cells import cells_as_text
from engine.data.user.hub_errors import is_transient, sentence
from engine.data.user.hub_rows import Converter
from engine.data.user.rows import shorten
from engine.paths import home
from engine.system.files import file_state
from engine.system.hub import refuse_without_network

if TYPE_CHECKING:
    from datasets import IterableDataset

_NAME = re.compile(r"[\w.-]+/[\w.-]+(/[^/]+)?")
_ORIGIN = "origin.json"
_WAIT = wait_exponential(multiplier=0.5, max=4)
_TRAIN_SHARE = 3  # rows of train for each row of another split


@dataclass(frozen=True)
class Origin:
    """The source of a fetched folder: its columns there, and what was left there."""

    columns: dict[str, str]
    problems: tuple[Problem, ...]


def fetch(name: str, data: Data) -> Path:
    """Return a folder with at most ``data.rows`` rows of a data set: a table and pictures.

    ``name`` is OWNER/NAME, OWNER/NAME/PART where there are parts, or a folder that the ``datasets``
    library reads. Raises ConfigError when it cannot be read, or columns are missing.
    """
    if not _local(name) and not _NAME.fullmatch(name):  # `datasets` takes other words for formats
        raise ConfigError(f"dataset: '{shorten(name)}' is no data set of the hub; it is OWNER/NAME")
    data = known.fill(name, data)
    folder = _place(name, data)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".hub-") as aside:
        try:
            for attempt in _retrying():
                with attempt, cells_as_text():
                    whole = Path(aside) / str(attempt.retry_state.attempt_number)
                    _write(whole, name, data)
        except ConfigError:
            raise
        except Exception as error:  # the libraries below raise of their own, of many kinds
            raise ConfigError(sentence(name, error)) from error
        _move(whole, folder)
    return folder


def is_fetched(name: str, data: Data) -> bool:
    """Say whether a data set can be read without a download."""
    return is_folder_with_table(name) or _place(name, known.fill(name, data)).is_dir()


def is_folder_with_table(name: str) -> bool:
    """Say whether a name is that of a folder here that the lab reads by itself."""
    return (local := _local(name)) is not None and has_tables(local)


def origin(folder: Path) -> Origin:
    """Read what was written down about a folder that was fetched."""
    said = json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))
    return Origin(said["columns"], tuple(Problem(**problem) for problem in said["problems"]))


def _retrying() -> Retrying:
    return Retrying(
        stop=stop_after_attempt(3),
        wait=_WAIT,
        retry=retry_if_exception(is_transient),
        reraise=True,
    )


def _write(folder: Path, name: str, data: Data) -> None:
    """Read a data set and write it as a folder."""
    splits = _open(name)
    any_split = next(iter(splits.values()))
    columns = any_split.column_names or list(next(iter(any_split), {}))
    if not columns:
        raise ConfigError(f"dataset: {name} has no rows")
    used = choose(columns, data)
    preset = known.KNOWN.get(name)
    choices = preset.choices if preset and used["answer"] == preset.answer else ""
    (folder / "pictures").mkdir(parents=True)
    convert = Converter(folder, used, choices, any_split.features or {}, _local(name))
    problems = Problems()
    raw = {split: rows.decode(False) for split, rows in splits.items()}  # pictures as bytes
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as table:
        for number, (where, split, values) in enumerate(_in_turn(raw)):
            if number == data.rows:
                problems.add("more rows than data.rows", where, _rows_after(number, splits))
                break
            line = convert(values, split, where, problems)
            if line:
                table.write(json.dumps(line, ensure_ascii=True) + "\n")
        if not table.tell():
            why = f": {problems.counted()[0]}" if problems.counted() else ""
            raise ConfigError(f"dataset: {name} has no usable row{why}")
    about = asdict(Origin(used, problems.counted()))
    (folder / _ORIGIN).write_text(json.dumps(about), encoding="utf-8")


def _open(name: str) -> dict[str, IterableDataset]:
    """Return the splits of a data set that are to train or test on; all, if none is called so."""
    from datasets import load_dataset

    part = None
    if not (local := _local(name)):
        refuse_without_network()
        if name.count("/") == 2:
            name, _, part = name.rpartition("/")
    splits = load_dataset(str(local or name), part, streaming=True)
    return {split: rows for split, rows in splits.items() if split in SPLIT_FOLDERS} or splits


def _local(name: str) -> Path | None:
    """Return the folder that a name is; None when it is one of the hub."""
    path = os.path.expanduser(name)
    return Path(path).resolve() if os.path.isdir(path) else None


def _rows_after(read: int, splits: dict[str, IterableDataset]) -> int:
    """Return how many rows were not read, as the data set says; one where it does not."""
    infos = [(rows.info.splits or {}).get(split) for split, rows in splits.items()]
    return max(1, sum(info.num_examples or 0 for info in infos if info) - read)


def _in_turn(
    splits: dict[str, Iterable[dict[str, Any]]],
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield rows as (place, split, values), from all splits in turn, most from train.

    How long a split is shows only at its end: taken in turn, none can use up what may be read.
    """
    turns = {split: enumerate(rows, 1) for split, rows in splits.items()}
    while turns:
        for split in list(turns):
            for _ in range(_TRAIN_SHARE if split == "train" else 1):
                number, values = next(turns[split], (0, None))
                if values is None:
                    del turns[split]
                    break
                yield f"{split}, row {number}", split, values


def _place(name: str, data: Data) -> Path:
    """Return the folder of a data set whose columns are filled in."""
    return home() / "datasets" / f"hub-{_key(name, data)}"


def _key(name: str, data: Data) -> str:
    """Digest all that decides what is written; of a folder also which files are in it."""
    files: list[tuple[str, tuple[int, int] | None]] = []
    if local := _local(name):
        files = [(str(path), file_state(path)) for path in sorted(local.rglob("*"))]
    said = (name, data.image, data.question, data.answer, data.client, data.rows, files)
    return blake2b(repr(said).encode(), digest_size=12).hexdigest()


def _move(whole: Path, folder: Path) -> None:
    try:
        whole.rename(folder)
    except OSError:  # another process was quicker: the same rows are there
        if not folder.is_dir():
            raise
        shutil.rmtree(whole)
