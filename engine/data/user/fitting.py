"""Rows that an experiment's model can take: the others are counted, and named, before any run."""

from __future__ import annotations

from dataclasses import replace

from engine.config import ConfigError, ExperimentConfig
from engine.data.account import Problems
from engine.data.pictures import stored_size
from engine.data.user.collection import Collection
from engine.data.user.rows import Row, shorten
from engine.vlm.picture_limits import picture_problem
from engine.vlm.resolved import ResolvedModel, resolve_model
from engine.vlm.text_limits import TextLimits


def fitting(collection: Collection, config: ExperimentConfig) -> Collection:
    """Return a collection without the rows that the config's model cannot take.

    Raises ConfigError when none is left. Where the model itself cannot be used all rows stay: that
    is told of where the model is checked.
    """
    try:
        model = resolve_model(config)
    except ConfigError:
        return collection
    limits, problems = TextLimits(config, model), Problems(collection.problems)
    rows = tuple(row for row in collection.rows if _fits(row, config, model, limits, problems))
    if not rows:
        raise ConfigError(
            f"dataset: the model can take none of its {len(collection.rows):,} rows: "
            f"{problems.counted()[0]}"
        )
    return replace(collection, rows=rows, problems=problems.counted())


def _fits(
    row: Row,
    config: ExperimentConfig,
    model: ResolvedModel,
    limits: TextLimits,
    problems: Problems,
) -> bool:
    """Say whether the model can take a row; note why not, and what is done to it if it can."""
    name = f"{shorten(row.picture.name)} ({row.where})" if row.where else shorten(row.picture.name)
    size = stored_size(*row.size) if all(row.size) else None
    refusals = {
        "picture that the model refuses": size and picture_problem(config, model, *size),
        "question that the model cannot read": limits.question_problem(row.question),
        "answer that the model cannot learn": limits.answer_problem(row.answers[0]),
    }
    for kind, reason in refusals.items():
        if reason:
            problems.add(kind, f"{name}: {reason}")
            return False
    if limits.markers.removed_from(row.question) != row.question:
        kind = "question with texts that the model reads as control: taken out"
        problems.add(kind, f"{name}: {shorten(row.question)}", left_out=False)
    if limits.is_cut(row.answers[0]):
        kind = f"answer cut at data.answer_tokens ({limits.answer_tokens})"
        problems.add(kind, name, left_out=False)
    return True
