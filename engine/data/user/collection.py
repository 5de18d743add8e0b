"""All usable rows of the data that a config names, and what is wrong with the rest."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from statistics import median

from cachetools import LRUCache

from engine.config import DIGITS, EASY_VQA, SITE, ConfigError, Data
from engine.data.account import Account, Problem, Problems
from engine.data.user import hub, known
from engine.data.user.digits import digits_folder
from engine.data.user.easy_vqa import easy_vqa_folder
from engine.data.user.folder import PLACES
from engine.data.user.reading import read_folder
from engine.data.user.rows import Row, shorten
from engine.data.user.tables import TABLES
from engine.data.user.upload import left_out
from engine.system.files import file_state

_COME_ALONG = {DIGITS: digits_folder, EASY_VQA: easy_vqa_folder}  # with a package
_SHORT = ((3, "exact"), (10, "token_f1"))  # words in the median answer, at most -> metric


@dataclass(frozen=True)
class Collection:
    """Data that people brought, read and checked."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]  # the commonest first
    columns: dict[str, str]  # what was used as image, question, answer, client
    metric: str  # "exact", "token_f1", "rouge_l" or "vqa"
    folder: Path
    digest: str  # of the rows and the pictures' content, wherever they are and whatever called
    state: str  # of names, sizes and times of the files: it changes when one may have changed
    files: tuple[Path, ...]  # the pictures that the tables name

    @property
    def account(self) -> Account:
        """Return how many rows are used, and what is wrong with the rest."""
        return Account(len(self.rows), self.problems)

    @cached_property
    def clients(self) -> dict[str, int]:
        """Count the rows of every client, the commonest first; {} without a client column."""
        return dict(Counter(row.client for row in self.rows if row.client).most_common())


_recent: LRUCache[tuple, Collection] = LRUCache(maxsize=8)
_lock = threading.Lock()  # the app reads in several threads


def collect(dataset: str, data: Data) -> Collection:
    """Return the data of ``folder:PATH`` or ``hub:NAME``; quick when nothing changed.

    Raises ConfigError: one sentence that names the key and says what there is.
    """
    kind, _, name = dataset.partition(":")
    if dataset not in _COME_ALONG and (kind not in ("folder", SITE, "hub") or not name):
        raise ConfigError(f"dataset: folder:PATH or hub:NAME is read here (got '{dataset}')")
    origin = None
    if kind == "hub" and not hub.is_folder_with_table(name):
        data = known.fill(name, data)
        folder = hub.fetch(name, data)
        origin = hub.origin(folder)
        data = Data(rows=data.rows, metric=data.metric)  # its columns have our names by now
    else:
        folder = _COME_ALONG[dataset]() if dataset in _COME_ALONG else _local(name)
    key = (folder, data.image, data.question, data.answer, data.client, data.rows, data.metric)
    with _lock:
        recent = _recent.get(key)
        if recent is None or _state(folder, recent.files) != recent.state:
            recent = _recent[key] = _read(folder, data, origin)
    return recent


def _local(name: str) -> Path:
    try:
        folder = Path(name).expanduser().resolve()
        folder.exists()
    except (OSError, RuntimeError, ValueError):  # too long, a user who is none, characters
        raise ConfigError(f"dataset: '{shorten(name)}' is not a path that can be opened") from None
    return folder


def _read(folder: Path, data: Data, origin: hub.Origin | None) -> Collection:
    problems = Problems(origin.problems if origin else left_out(folder))
    reading = read_folder(folder, data, problems)
    counted = problems.counted()
    if not reading.rows:
        why = f": {counted[0]}" if counted else ""
        raise ConfigError(f"dataset: {folder} has no usable row{why}")
    return Collection(
        rows=reading.rows,
        problems=counted,
        columns=origin.columns if origin else reading.columns,
        metric=_metric(reading.rows) if data.metric == "auto" else data.metric,
        folder=folder,
        digest=_digest(reading.rows),
        state=_state(folder, reading.files),
        files=reading.files,
    )


def _metric(rows: Iterable[Row]) -> str:
    """Choose how such answers are best judged: with the references there are, by their length."""
    several = [len(row.answers) > 1 for row in rows]
    if sum(several) * 2 > len(several):
        return "vqa"
    words = median(len(row.answers[0].split()) for row in rows)
    return next((metric for most, metric in _SHORT if words <= most), "rouge_l")


def _digest(rows: Iterable[Row]) -> str:
    digest = blake2b(digest_size=16)
    for row in rows:
        said = (row.picture_key, row.question, row.answers, row.client, row.split)
        digest.update(repr(said).encode())
    return digest.hexdigest()


def _state(folder: Path, pictures: Iterable[Path]) -> str:
    """Digest names, sizes and times of change, also of tables that are not there but could be."""
    tables = [folder / place / table for place in PLACES for table in TABLES]
    files = [(str(p.relative_to(folder)), file_state(p)) for p in (*tables, *pictures)]
    return blake2b(json.dumps(files).encode(), digest_size=16).hexdigest()
