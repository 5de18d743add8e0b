"""The tables. Change them together with a new numbered step in ``db/migrations/versions``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


def now() -> datetime:
    """Return the time in UTC, without a zone, as every column here holds it."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """Common base; constraint names are fixed so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        dict[str, Any]: JSON,
        dict[str, str]: JSON,
        dict[str, int]: JSON,
        list[str]: JSON,
    }


class RunRow(Base):
    """A row that belongs to a run."""

    __abstract__ = True

    run_id: Mapped[int]


class Experiment(Base):
    """One federation: an ``ExperimentConfig`` as JSON, and what it meant when it was submitted.

    ``round_limit``: the last round that may begin, of every run; None while it goes on by itself.
    ``resolved`` is an ``engine.fl.resolved.Resolved``; None in rows of a lab that had none.
    ``tags`` and ``notes`` are people's own.
    """

    __tablename__ = "experiments"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    config: Mapped[dict[str, Any]]
    resolved: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    bundled: Mapped[bool] = mapped_column(default=False)
    round_limit: Mapped[int | None]
    tags: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    notes: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(default=now)

    runs: Mapped[list[Run]] = relationship(back_populates="experiment", order_by="Run.id")


class Worker(Base):
    """A process that executes runs. Alive means: this pid exists and was started at this time."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(primary_key=True)
    pid: Mapped[int]
    process_started: Mapped[float]  # seconds since the epoch; a pid alone can be reused
    takes_queue: Mapped[bool]
    # "" where the database is a file, which only this machine opens (engine/system/processes.py).
    host: Mapped[str] = mapped_column(String(255), default="", server_default="")


class Preparation(Base):
    """The config that a form shows and what it means, one row: a worker makes its data ready."""

    __tablename__ = "preparations"

    id: Mapped[int] = mapped_column(primary_key=True)
    config: Mapped[dict[str, Any]]
    resolved: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    asked_at: Mapped[datetime] = mapped_column(default=now)
    ready_at: Mapped[datetime | None]


ALIVE = ("queued", "running", "paused")
RESUMABLE = ("stopped", "failed", "interrupted")
GONE = "gone"  # deleted for good: only the number is kept, so that it is not given again


class Run(Base):
    """One strategy on one experiment."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), index=True)
    strategy: Mapped[str] = mapped_column(String(20))
    # ALIVE, RESUMABLE, done or GONE
    status: Mapped[str] = mapped_column(String(12), default="queued", index=True)
    worker_id: Mapped[int | None]
    stop_requested: Mapped[bool] = mapped_column(default=False)
    rounds: Mapped[int]
    rounds_done: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    trainable_parameters: Mapped[int | None]
    wall_seconds: Mapped[float] = mapped_column(default=0.0)
    peak_rss_mb: Mapped[float | None]
    deleted_at: Mapped[datetime | None]  # it is shown nowhere, and can come back until it is GONE

    experiment: Mapped[Experiment] = relationship(back_populates="runs", lazy="joined")


class Sweep(Base):
    """Experiments that differ in the values of one or two keys and in their draw, under one config.

    ``config`` is the swept ``ExperimentConfig`` as JSON. While it is paused, no run of it begins.
    """

    __tablename__ = "sweeps"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    config: Mapped[dict[str, Any]]
    paused: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class SweepRun(Base):
    """The run of one strategy at one point of a sweep, counted as ``ExperimentConfig.points`` does.

    ``reused``: it was stored already; it stands for this point, but is not the sweep's to stop.
    """

    __tablename__ = "sweep_runs"

    sweep_id: Mapped[int] = mapped_column(
        ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True
    )
    point: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    strategy: Mapped[str] = mapped_column(String(20), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    reused: Mapped[bool]


class Client(Base):
    """A client of an experiment and what it holds, in summary."""

    __tablename__ = "clients"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    client: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(80), default="", server_default="")
    camera: Mapped[str] = mapped_column(String(40))
    words: Mapped[dict[str, str]]
    train_samples: Mapped[int]
    test_samples: Mapped[int]
    answers: Mapped[dict[str, int]]
    families: Mapped[dict[str, int]]


class Round(RunRow):
    """One finished round of training."""

    __tablename__ = "rounds"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seconds: Mapped[float]
    finished_at: Mapped[datetime] = mapped_column(default=now)
    # See engine/fl/agreement.py; None where there is no such thing.
    aggregation_error: Mapped[float | None]
    cosine_a: Mapped[float | None]
    cosine_b: Mapped[float | None]
    epsilon: Mapped[float | None]  # of differential privacy so far; None without noise


class ClientRound(RunRow):
    """One client's part in one round: training loss, time and traffic."""

    __tablename__ = "client_rounds"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    client: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    samples: Mapped[int]
    loss: Mapped[float]
    seconds: Mapped[float]
    bytes_up: Mapped[int]
    bytes_down: Mapped[int]
    drift_a: Mapped[float | None]  # how far the factors moved in the round, ‖after − before‖
    drift_b: Mapped[float | None]


class Evaluation(RunRow):
    """A variant's scores on a client's or the pooled test set after a round (0: at the start)."""

    __tablename__ = "evaluations"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    client: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variant: Mapped[str] = mapped_column(String(10), primary_key=True)  # base, global, personal
    scope: Mapped[str] = mapped_column(String(10), primary_key=True)  # own, pooled
    loss: Mapped[float]
    accuracy: Mapped[float]
    samples: Mapped[int]
    # What this model is, where the client chose it: a key of engine/strategies/base.py's CORNERS.
    corner: Mapped[str] = mapped_column(String(10), default="", server_default="")


class Prediction(RunRow):
    """The answer of one variant to one item of a client's test set, after the last round."""

    __tablename__ = "predictions"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    client: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variant: Mapped[str] = mapped_column(String(10), primary_key=True)
    item: Mapped[str] = mapped_column(String(80), primary_key=True)
    question: Mapped[str]
    reference: Mapped[str]
    answer: Mapped[str]
    confidence: Mapped[float]
    correct: Mapped[bool]


class Crossing(RunRow):
    """The messages of one kind and direction between the server and a client, over all rounds.

    ``kind`` is Flower's message type; ``parts``: bytes by what they are (engine/fl/flower/ledger).
    """

    __tablename__ = "crossings"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    client: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    to_server: Mapped[bool] = mapped_column(primary_key=True)
    messages: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    parts: Mapped[dict[str, int]]


class Event(RunRow):
    """Something that happened in a run, in plain words."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_run_id", "run_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str]


OF_RUN: tuple[type[RunRow], ...] = tuple(RunRow.__subclasses__())  # in the order above
