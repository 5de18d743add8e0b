"""Everything that is read from the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from db.engine import reading
from db.tables import (
    Client,
    ClientRound,
    Evaluation,
    Event,
    Experiment,
    Prediction,
    Preparation,
    Round,
    Run,
    Worker,
)


class NoSuchRun(LookupError):
    """The run that a user named does not exist."""

    def __init__(self, run_id: int) -> None:
        super().__init__(f"there is no run {run_id}")


def run(run_id: int) -> Run:
    """One run with its experiment; raises NoSuchRun."""
    with reading() as session:
        found = session.get(Run, run_id)
        if found is None:
            raise NoSuchRun(run_id)
        return found


def runs(limit: int = 500) -> list[Run]:
    """Runs with their experiments, newest first."""
    with reading() as session:
        return list(session.scalars(select(Run).order_by(Run.id.desc()).limit(limit)))


def runs_of(experiment_id: int) -> list[Run]:
    """The runs of one experiment, in the order in which they were queued."""
    with reading() as session:
        wanted = select(Run).where(Run.experiment_id == experiment_id).order_by(Run.id)
        return list(session.scalars(wanted))


def done_runs() -> list[Run]:
    """All finished runs of this database's own experiments, oldest first."""
    with reading() as session:
        own = select(Run).join(Run.experiment).where(Run.status == "done", ~Experiment.bundled)
        return list(session.scalars(own.order_by(Run.id)))


def experiment_count() -> int:
    """How many experiments there are, the bundled example included."""
    with reading() as session:
        return session.scalar(select(func.count(Experiment.id))) or 0


def workers() -> list[Worker]:
    """All processes that have registered and not left."""
    with reading() as session:
        return list(session.scalars(select(Worker)))


def preparation() -> Preparation | None:
    """What a form shows at the moment."""
    with reading() as session:
        return session.get(Preparation, 1)


def unfinished_runs() -> list[Run]:
    """Runs that are running, or waiting for a worker of their own."""
    with reading() as session:
        wanted = select(Run).where(
            (Run.status == "running") | ((Run.status == "queued") & Run.worker_id.is_not(None))
        )
        return list(session.scalars(wanted))


def next_queued() -> Run | None:
    """The run that the worker that takes the queue would take next."""
    with reading() as session:
        waiting = select(Run).where(Run.status == "queued", Run.worker_id.is_(None))
        return session.scalar(waiting.order_by(Run.id).limit(1))


def stop_requested(run_id: int) -> bool:
    """Whether somebody has asked for this run to stop."""
    with reading() as session:
        return bool(session.scalar(select(Run.stop_requested).where(Run.id == run_id)))


def clients(experiment_id: int) -> list[Client]:
    """The clients' profiles, in order."""
    with reading() as session:
        wanted = select(Client).where(Client.experiment_id == experiment_id).order_by(Client.client)
        return list(session.scalars(wanted))


def rounds(run_id: int) -> list[Round]:
    """The finished rounds, in order."""
    with reading() as session:
        return list(
            session.scalars(select(Round).where(Round.run_id == run_id).order_by(Round.round))
        )


def client_rounds(run_id: int) -> list[ClientRound]:
    """Every round × client row, in order."""
    with reading() as session:
        wanted = select(ClientRound).where(ClientRound.run_id == run_id)
        return list(session.scalars(wanted.order_by(ClientRound.round, ClientRound.client)))


def evaluations(run_id: int) -> list[Evaluation]:
    """Every evaluation of a run, in order of round and client."""
    with reading() as session:
        wanted = select(Evaluation).where(Evaluation.run_id == run_id)
        return list(session.scalars(wanted.order_by(Evaluation.round, Evaluation.client)))


def predictions(run_id: int, client: int) -> list[Prediction]:
    """The stored answers on one client's test items."""
    with reading() as session:
        wanted = select(Prediction).where(Prediction.run_id == run_id, Prediction.client == client)
        return list(session.scalars(wanted.order_by(Prediction.item)))


def events(run_id: int, limit: int = 50) -> list[Event]:
    """The latest events of a run, newest first."""
    with reading() as session:
        wanted = select(Event).where(Event.run_id == run_id).order_by(Event.id.desc()).limit(limit)
        return list(session.scalars(wanted))


@dataclass(frozen=True)
class Summary:
    """A run in figures; accuracies are means over clients after the last round, or None."""

    run: int
    strategy: str
    status: str
    rounds: int
    base_accuracy: float | None
    global_accuracy: float | None
    personal_accuracy: float | None
    worst_client_accuracy: float | None
    pooled_accuracy: float | None
    bytes_up: int
    bytes_down: int
    trainable_parameters: int | None
    wall_seconds: float
    train_seconds: float
    peak_rss_mb: float | None


def summary(run_id: int) -> Summary:
    """The figures of one run.

    ``personal`` is the model that a client would use: its personalised one, else the global one,
    else the base. ``worst_client`` and ``pooled`` are measured on that same model.
    """
    found = run(run_id)
    trained = client_rounds(run_id)
    latest = _latest(evaluations(run_id))
    own = list(_used(latest, "own").values())
    pooled = list(_used(latest, "pooled").values())
    return Summary(
        run=found.id,
        strategy=found.strategy,
        status=found.status,
        rounds=found.rounds_done,
        base_accuracy=_mean(_used(latest, "own", "base").values()),
        global_accuracy=_mean(_used(latest, "own", "global").values()),
        personal_accuracy=_mean(own),
        worst_client_accuracy=min(own, default=None),
        pooled_accuracy=_mean(pooled),
        bytes_up=sum(row.bytes_up for row in trained),
        bytes_down=sum(row.bytes_down for row in trained),
        trainable_parameters=found.trainable_parameters,
        wall_seconds=round(found.wall_seconds, 3),
        train_seconds=round(sum(row.seconds for row in trained), 3),
        peak_rss_mb=found.peak_rss_mb,
    )


def _latest(rows: list[Evaluation]) -> dict[tuple[int, str, str], float]:
    """Accuracy of each (client, variant, scope) in the last round in which it was evaluated."""
    return {(row.client, row.variant, row.scope): row.accuracy for row in rows}


def _used(
    latest: dict[tuple[int, str, str], float], scope: str, *variants: str
) -> dict[int, float]:
    """Accuracy by client of the first of these variants that there is, or of the one in use."""
    for variant in variants or ("personal", "global", "base"):
        hits = {k: a for (k, v, s), a in latest.items() if (v, s) == (variant, scope)}
        if hits:
            return hits
    return {}


def used_accuracies(run_id: int, scope: str) -> dict[int, float]:
    """Accuracy by client, after the last round, of the model that a client would use."""
    return _used(_latest(evaluations(run_id)), scope)


@dataclass(frozen=True)
class Tradeoff:
    """Accuracy of the model that a client uses: on what it meets, and on what all meet."""

    run: int
    strategy: str
    client: int
    own: float
    pooled: float


def tradeoffs(run_id: int) -> list[Tradeoff]:
    """Personalisation against generalisation: every client of every run of the run's experiment.

    After the last round in which each was tested. Raises NoSuchRun.
    """
    siblings = runs_of(run(run_id).experiment_id)
    return tradeoffs_in([(other, evaluations(other.id)) for other in siblings])


def tradeoffs_in(pairs: Iterable[tuple[Run, list[Evaluation]]]) -> list[Tradeoff]:
    """``tradeoffs`` of runs whose evaluations are at hand."""
    found: list[Tradeoff] = []
    for other, rows in pairs:
        latest = _latest(rows)
        own, pooled = _used(latest, "own"), _used(latest, "pooled")
        both = sorted(own.keys() & pooled.keys())
        found += [Tradeoff(other.id, other.strategy, k, own[k], pooled[k]) for k in both]
    return found


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None


_TRAINED = ("samples", "loss", "seconds", "bytes_up", "bytes_down", "drift_a", "drift_b")


def round_client_rows(run_id: int) -> list[dict[str, object]]:
    """Every round × client as one flat row; None where a client did not train or was not scored.

    Round 0 is the state before training. Accuracies of a round are of the state after it.
    """
    blank = {
        **dict.fromkeys(_TRAINED),
        **{f"{v}_accuracy": None for v in ("base", "global", "personal")},
        **{f"{v}_pooled_accuracy": None for v in ("base", "global", "personal")},
        **{f"{v}_loss": None for v in ("base", "global", "personal")},
    }
    rows: dict[tuple[int, int], dict[str, object]] = {}

    def row(round_: int, client: int) -> dict[str, object]:
        return rows.setdefault((round_, client), {"round": round_, "client": client, **blank})

    for trained in client_rounds(run_id):
        values = {key: getattr(trained, key) for key in _TRAINED}
        row(trained.round, trained.client).update(values)
    for scored in evaluations(run_id):
        here = row(scored.round, scored.client)
        if scored.scope == "own":
            here[f"{scored.variant}_accuracy"] = scored.accuracy
            here[f"{scored.variant}_loss"] = scored.loss
        else:
            here[f"{scored.variant}_pooled_accuracy"] = scored.accuracy
    return [rows[key] for key in sorted(rows)]
