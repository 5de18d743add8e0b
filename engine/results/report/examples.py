"""Test questions on which an experiment's models disagree, with their pictures for a report."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from PIL import Image

from db import reads
from db.tables import Prediction, Run
from engine.config import ConfigError, ExperimentConfig
from engine.data.dataset import Example
from engine.data.factory import dataset_of
from engine.jobs.validate import resolved_of
from engine.results.look import STYLES, client_name, style_of
from engine.results.verdict_words import way
from engine.strategies import STRATEGIES

MOST_GAINED, MOST_LOST = 8, 4  # questions that a report shows
_SIDE = 240  # pixels of a picture's longer side
_Key = tuple[int, str]  # a client, an item


@dataclass(frozen=True)
class GivenAnswer:
    """What a way answered, in the colour of its lines."""

    way: str
    colour: str
    text: str
    correct: bool


@dataclass(frozen=True)
class Disagreed:
    """A client's test question, with the answers of all ways; ``image`` is a data URI or ""."""

    client: str
    question: str
    reference: str
    answers: list[GivenAnswer]
    image: str


@dataclass(frozen=True)
class Examples:
    """How often ``ours`` is right where another way is wrong, and the other way round.

    ``missing`` says why there are no pictures; "" where there are.
    """

    ours: str
    items: int
    gained: int
    lost: int
    shown: list[Disagreed]
    missing: str = ""


def examples_of(runs: Sequence[Run], ours: str, names: dict[int, str]) -> Examples:
    """Choose the most telling questions: where most others are wrong, from client to client."""
    hits = {run.strategy: reads.hits(run.id) for run in runs}
    keys = [(k, item) for k, items in hits[ours].items() for item in items]
    against = {key: _differing(hits, ours, key) for key in keys}
    gained = [key for key in keys if against[key] > 0]
    lost = [key for key in keys if against[key] < 0]
    chosen = [
        *_spread(gained, against)[:MOST_GAINED],
        *_spread(lost, against)[:MOST_LOST],
    ]
    images, missing = _images(runs[0], chosen)
    shown = [
        Disagreed(
            client_name(k, names.get(k, "")), *_answers(runs, k, item), images.get((k, item), "")
        )
        for k, item in chosen
    ]
    return Examples(way(ours), len(keys), len(gained), len(lost), shown, missing)


def _differing(hits: dict[str, dict[int, dict[str, bool]]], ours: str, key: _Key) -> int:
    """Count the other ways that answer otherwise; below 0 where they are right, and ours is not."""
    k, item = key
    right = hits[ours][k][item]
    others = [by_client.get(k, {}).get(item) for way, by_client in hits.items() if way != ours]
    return (1 if right else -1) * sum(hit is not None and hit != right for hit in others)


def _spread(keys: Sequence[_Key], against: dict[_Key, int]) -> list[_Key]:
    """Order by how many differ, and take the clients in turn."""
    by_client: dict[int, list[_Key]] = {}
    for key in sorted(keys, key=lambda key: -abs(against[key])):
        by_client.setdefault(key[0], []).append(key)
    turns = zip_longest(*(by_client[k] for k in sorted(by_client)))
    return [key for key in chain.from_iterable(turns) if key is not None]


def _answers(runs: Sequence[Run], k: int, item: str) -> tuple[str, str, list[GivenAnswer]]:
    """Return question, reference, and the answers of the base and of each way."""
    given: list[GivenAnswer] = []
    rows: list[Prediction] = []
    for run in runs:
        mine = {row.variant: row for row in reads.predictions(run.id, k) if row.item == item}
        if (base := mine.get("base")) and not given:
            given.append(_given("Base", "base", base))
        if row := mine.get(STRATEGIES[run.strategy].deployed_variant()):
            rows.append(row)
            given.append(_given(way(run.strategy), style_of(run.strategy), row))
    return rows[0].question, rows[0].reference, given


def _given(name: str, style: str, row: Prediction) -> GivenAnswer:
    return GivenAnswer(name, STYLES[style].colour, row.answer, row.correct)


def _images(run: Run, chosen: Sequence[_Key]) -> tuple[dict[_Key, str], str]:
    """Return pictures as data URIs, and why there are none where the data have gone."""
    config = ExperimentConfig.parse(run.experiment.config)
    try:
        dataset = dataset_of(config, resolved_of(run.experiment).data)
        images = {}
        for k in {k for k, _ in chosen}:
            numbers = {item.item: n for n, item in enumerate(dataset.items(k, "test"))}
            for _, item in (key for key in chosen if key[0] == k and key[1] in numbers):
                images[k, item] = _data_uri(dataset.example(k, "test", numbers[item]))
        return images, ""
    except ConfigError as error:
        return {}, str(error)


def _data_uri(example: Example) -> str:
    image, buffer = Image.fromarray(example.image), io.BytesIO()
    image.thumbnail((_SIDE, _SIDE))
    image.save(buffer, "WEBP", quality=85)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
