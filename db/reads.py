"""All that is read from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import selectinload

from db.engine import reading
from db.tables import (
    Client,
    ClientRound,
    Crossing,
    Evaluation,
    Event,
    Experiment,
    Prediction,
    Preparation,
    Round,
    Run,
    Sweep,
    SweepRun,
    Worker,
)

# The first that there is, is the one that a client would use.
VARIANTS = ("personal", "global", "base")
_SHOWN = Run.deleted_at.is_(None)


class NoSuchRun(LookupError):
    """The run that a user named does not exist."""

    def __init__(self, run_id: int) -> None:
        super().__init__(f"there is no run {run_id}")


def run(run_id: int) -> Run:
    """Return one run with its experiment; raises NoSuchRun."""
    with reading() as session:
        stored = session.get(Run, run_id)
        if stored is None or stored.deleted_at is not None:
            raise NoSuchRun(run_id)
        return stored


def runs() -> list[Run]:
    """Return all runs with their experiments, newest first."""
    with reading() as session:
        return list(session.scalars(select(Run).where(_SHOWN).order_by(Run.id.desc())))


def chosen_runs(run_ids: Sequence[int]) -> list[Run]:
    """Return these runs with their experiments, in this order. Raises NoSuchRun."""
    of_them = select(Run).where(Run.id.in_(run_ids), _SHOWN)
    with reading() as session:
        stored = {row.id: row for row in session.scalars(of_them)}
    for run_id in run_ids:
        if run_id not in stored:
            raise NoSuchRun(run_id)
    return [stored[run_id] for run_id in run_ids]


def bundled_runs() -> list[Run]:
    """Return the runs of the example that came with the lab, in order; none where it is gone."""
    with reading() as session:
        return list(
            session.scalars(
                select(Run).join(Run.experiment).where(Experiment.bundled).order_by(Run.id)
            )
        )


@dataclass(frozen=True, slots=True)
class ExperimentName:
    """An experiment as a list shows it."""

    id: int
    name: str
    bundled: bool
    in_sweep: bool


def is_in_sweep() -> ColumnElement[bool]:
    """Make the condition for an experiment that was made for a sweep."""
    made = select(Run.experiment_id).join(SweepRun, SweepRun.run_id == Run.id)
    return Experiment.id.in_(made.where(~SweepRun.reused))


def experiment_names() -> list[ExperimentName]:
    """Return all experiments, newest first."""
    columns = (Experiment.id, Experiment.name, Experiment.bundled, is_in_sweep())
    with reading() as session:
        shown = select(*columns).where(Experiment.runs.any(_SHOWN))
        rows = session.execute(shown.order_by(Experiment.id.desc()))
        return [ExperimentName(*row) for row in rows]


def stamp(experiment_id: int) -> tuple[Any, ...]:
    """Return what changes whenever there is more to show of an experiment.

    Cheap, however many rounds there are: a tuple per run, and the number of its last event. Scores
    may come after the round that they are of, so those of the last one are counted.
    """
    scored = (Evaluation.run_id == Run.id) & (Evaluation.round >= Run.rounds_done)
    columns = (Run.id, Run.status, Run.stop_requested, Run.rounds_done)
    last_event = select(func.max(Event.id)).where(Event.run_id == Run.id).scalar_subquery()
    scores = select(func.count()).where(scored).scalar_subquery()
    with reading() as session:
        of_it = select(*columns, last_event, scores).where(Run.experiment_id == experiment_id)
        return tuple(map(tuple, session.execute(of_it.order_by(Run.id))))


def runs_of(experiment_id: int) -> list[Run]:
    """Return the runs of one experiment, in the order in which they were queued."""
    with reading() as session:
        of_it = select(Run).where(Run.experiment_id == experiment_id, _SHOWN)
        return list(session.scalars(of_it.order_by(Run.id)))


def latest_experiments(limit: int) -> list[Experiment]:
    """Return the newest experiments with their runs, newest first.

    Without the example that came with the lab, and without those that belong to a sweep.
    """
    with reading() as session:
        own = select(Experiment).where(~Experiment.bundled, ~is_in_sweep())
        own = own.where(Experiment.runs.any(_SHOWN)).order_by(Experiment.id.desc()).limit(limit)
        shown_runs = selectinload(Experiment.runs.and_(_SHOWN))
        return list(session.scalars(own.options(shown_runs)))


def runs_of_worker(worker_id: int) -> list[Run]:
    """Return the runs that a worker is at or is to do, in order."""
    with reading() as session:
        of_it = select(Run).where(Run.worker_id == worker_id).order_by(Run.id)
        return list(session.scalars(of_it))


def done_runs() -> list[Run]:
    """Return all finished runs of this database's own experiments, oldest first."""
    with reading() as session:
        own = select(Run).join(Run.experiment)
        own = own.where(Run.status == "done", ~Experiment.bundled, _SHOWN)
        return list(session.scalars(own.order_by(Run.id)))


def done_count() -> int:
    """Count the finished runs."""
    with reading() as session:
        return session.scalar(select(func.count()).where(Run.status == "done", _SHOWN)) or 0


def workers() -> list[Worker]:
    """Return all processes that have registered and not left."""
    with reading() as session:
        return list(session.scalars(select(Worker)))


def preparation() -> Preparation | None:
    """Return what a form shows at the moment."""
    with reading() as session:
        return session.get(Preparation, 1)


def has_lost_its_worker() -> ColumnElement[bool]:
    """Make the condition for a run that is to be worked on by a worker that is not there."""
    theirs = Run.worker_id.is_not(None) & Run.worker_id.not_in(select(Worker.id))
    return Run.status.in_(("queued", "running")) & (
        theirs | ((Run.status == "running") & Run.worker_id.is_(None))
    )


def are_runs_lost() -> bool:
    """Tell whether there are runs that nobody works on though they have begun."""
    with reading() as session:
        return session.scalar(select(Run.id).where(has_lost_its_worker()).limit(1)) is not None


def is_held() -> ColumnElement[bool]:
    """Make the condition for a run that may not begin, for its sweep is paused."""
    held = select(SweepRun.run_id).join(Sweep, Sweep.id == SweepRun.sweep_id)
    return Run.id.in_(held.where(Sweep.paused, ~SweepRun.reused))


def experiment_at_work() -> int | None:
    """Return the newest experiment of which a run is running."""
    with reading() as session:
        return session.scalar(select(func.max(Run.experiment_id)).where(Run.status == "running"))


def next_queued() -> Run | None:
    """Return the run that the worker that takes the queue would take next."""
    with reading() as session:
        waiting = select(Run).where(Run.status == "queued", Run.worker_id.is_(None), ~is_held())
        return session.scalar(waiting.order_by(Run.id).limit(1))


def stop_requested(run_id: int) -> bool:
    """Tell whether somebody has asked for this run to stop."""
    with reading() as session:
        return bool(session.scalar(select(Run.stop_requested).where(Run.id == run_id)))


def clients(experiment_id: int) -> list[Client]:
    """Return the clients' profiles, in order."""
    with reading() as session:
        of_it = select(Client).where(Client.experiment_id == experiment_id)
        return list(session.scalars(of_it.order_by(Client.client)))


def rounds(run_id: int, *, after_round: int = -1) -> list[Round]:
    """Return the finished rounds, in order, only those later than ``after_round``."""
    with reading() as session:
        of_it = select(Round).where(Round.run_id == run_id, Round.round > after_round)
        return list(session.scalars(of_it.order_by(Round.round)))


@dataclass(frozen=True, slots=True)
class Pace:
    """The mean time of a run's rounds, in seconds, and the config under which it was measured."""

    config: dict[str, Any]
    bundled: bool
    seconds: float


def paces(limit: int = 40) -> list[Pace]:
    """Return the paces of the latest runs that have rounds, newest first."""
    columns = (Experiment.config, Experiment.bundled, func.avg(Round.seconds))
    with reading() as session:
        latest = select(Run.id).where(Run.rounds_done > 0).order_by(Run.id.desc()).limit(limit)
        of_them = select(*columns).join(Run, Run.experiment_id == Experiment.id).join(Round)
        of_them = of_them.where(Run.id.in_(latest)).group_by(Run.id).order_by(Run.id.desc())
        return [Pace(*row) for row in session.execute(of_them)]


@dataclass(frozen=True, slots=True)
class RoundTraffic:
    """What travelled in a round, all its clients together, in bytes."""

    round: int
    clients: int
    bytes_up: int
    bytes_down: int


def last_traffic(run_id: int) -> RoundTraffic | None:
    """Return what travelled in a run's last round; None before the first."""
    sums = (func.sum(ClientRound.bytes_up), func.sum(ClientRound.bytes_down))
    last = select(func.max(ClientRound.round)).where(ClientRound.run_id == run_id)
    with reading() as session:
        of_it = select(ClientRound.round, func.count(), *sums).where(
            ClientRound.run_id == run_id, ClientRound.round == last.scalar_subquery()
        )
        row = session.execute(of_it.group_by(ClientRound.round)).first()
        return RoundTraffic(*row) if row else None


def client_rounds(run_id: int) -> list[ClientRound]:
    """Return every round × client row, in order."""
    with reading() as session:
        of_it = select(ClientRound).where(ClientRound.run_id == run_id)
        return list(session.scalars(of_it.order_by(ClientRound.round, ClientRound.client)))


def evaluations(run_id: int) -> list[Evaluation]:
    """Return every evaluation of a run, in order of round and client."""
    with reading() as session:
        of_it = select(Evaluation).where(Evaluation.run_id == run_id)
        return list(session.scalars(of_it.order_by(Evaluation.round, Evaluation.client)))


@dataclass(frozen=True, slots=True)
class MeanScore:
    """A variant's mean scores over the clients that were tested after a round."""

    round: int
    variant: str
    scope: str
    loss: float
    accuracy: float


def mean_scores(run_id: int, *, after_round: int = -1) -> list[MeanScore]:
    """Return the means over clients, in order of rounds, only those later than ``after_round``.

    As many rows as rounds, whatever the number of clients.
    """
    keys = (Evaluation.round, Evaluation.variant, Evaluation.scope)
    means = (func.avg(Evaluation.loss), func.avg(Evaluation.accuracy))
    with reading() as session:
        of_it = select(*keys, *means).where(
            Evaluation.run_id == run_id, Evaluation.round > after_round
        )
        rows = session.execute(of_it.group_by(*keys).order_by(*keys))
        return [MeanScore(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class ClientScore:
    """One client's accuracy after a round."""

    round: int
    client: int
    accuracy: float


def client_scores(run_id: int, variant: str, *, after_round: int = -1) -> list[ClientScore]:
    """Return the clients' accuracies on their own test sets, in order of round and client.

    Only those of later rounds than ``after_round``: what is committed does not change.
    """
    columns = (Evaluation.round, Evaluation.client, Evaluation.accuracy)
    with reading() as session:
        of_it = select(*columns).where(
            Evaluation.run_id == run_id,
            Evaluation.round > after_round,
            Evaluation.variant == variant,
            Evaluation.scope == "own",
        )
        rows = session.execute(of_it.order_by(Evaluation.round, Evaluation.client))
        return [ClientScore(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class ClientCorner:
    """The corner that a client chose after a round."""

    round: int
    client: int
    corner: str


def client_corners(run_id: int) -> list[ClientCorner]:
    """Return what clients chose, in order of round and client; nothing where none chooses."""
    columns = (Evaluation.round, Evaluation.client, Evaluation.corner)
    with reading() as session:
        of_it = select(*columns).where(
            Evaluation.run_id == run_id, Evaluation.scope == "own", Evaluation.corner != ""
        )
        rows = session.execute(of_it.order_by(Evaluation.round, Evaluation.client))
        return [ClientCorner(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class MeanDrift:
    """How far clients' factors moved in a round, mean over clients; None where it is unknown."""

    round: int
    drift_a: float | None
    drift_b: float | None


def mean_drifts(run_id: int, *, after_round: int = -1) -> list[MeanDrift]:
    """Return the means over clients of how far their factors moved, in order of rounds."""
    means = (func.avg(ClientRound.drift_a), func.avg(ClientRound.drift_b))
    with reading() as session:
        of_it = select(ClientRound.round, *means).where(
            ClientRound.run_id == run_id, ClientRound.round > after_round
        )
        rows = session.execute(of_it.group_by(ClientRound.round).order_by(ClientRound.round))
        return [MeanDrift(*row) for row in rows]


def predictions(run_id: int, client: int) -> list[Prediction]:
    """Return the stored answers on one client's test items."""
    with reading() as session:
        of_it = select(Prediction).where(Prediction.run_id == run_id, Prediction.client == client)
        return list(session.scalars(of_it.order_by(Prediction.item)))


def hits(run_id: int) -> dict[int, dict[str, bool]]:
    """Return whether each test item was answered rightly, by client and item.

    Of the model that a client would use: its personalised one, else the global one, else the base.
    """
    columns = (Prediction.variant, Prediction.client, Prediction.item, Prediction.correct)
    with reading() as session:
        rows = session.execute(select(*columns).where(Prediction.run_id == run_id)).all()
    by_variant: dict[str, dict[int, dict[str, bool]]] = {}
    for variant, client, item, correct in rows:
        by_variant.setdefault(variant, {}).setdefault(client, {})[item] = correct
    return next((by_variant[v] for v in VARIANTS if v in by_variant), {})


def crossings(run_id: int) -> list[Crossing]:
    """Return what has crossed between the server and each client; [] of a lab that kept no such."""
    order = (Crossing.kind, Crossing.to_server, Crossing.client)
    with reading() as session:
        return list(
            session.scalars(select(Crossing).where(Crossing.run_id == run_id).order_by(*order))
        )


def has_crossings(run_id: int) -> bool:
    """Tell whether anything is stored that has crossed in a run; quick, however many clients."""
    with reading() as session:
        first = select(Crossing.client).where(Crossing.run_id == run_id).limit(1)
        return session.scalar(first) is not None


def events(run_id: int, limit: int = 50) -> list[Event]:
    """Return the latest events of a run, newest first."""
    with reading() as session:
        of_it = select(Event).where(Event.run_id == run_id).order_by(Event.id.desc()).limit(limit)
        return list(session.scalars(of_it))


def events_of(experiment_id: int, limit: int) -> list[tuple[str, Event]]:
    """Return the latest events of an experiment's runs with their strategies, newest first."""
    with reading() as session:
        of_it = select(Run.strategy, Event).join(Run, Run.id == Event.run_id)
        of_it = of_it.where(Run.experiment_id == experiment_id).order_by(Event.id.desc())
        return [(strategy, event) for strategy, event in session.execute(of_it.limit(limit))]


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
    """Return the figures of one run; raises NoSuchRun.

    ``personal`` is the model that a client would use: its personalised one, else the global one,
    else the base. ``worst_client`` and ``pooled`` are measured on that same model.
    """
    return summaries([run(run_id)])[0]


def summaries(of_runs: Sequence[Run]) -> list[Summary]:
    """Return the figures of several runs, as ``summary`` does, in their order."""
    ids = [run_.id for run_ in of_runs]
    sums = (ClientRound.bytes_up, ClientRound.bytes_down, ClientRound.seconds)
    with reading() as session:
        totals = select(ClientRound.run_id, *map(func.sum, sums)).group_by(ClientRound.run_id)
        trained = {
            run_id: values
            for run_id, *values in session.execute(totals.where(ClientRound.run_id.in_(ids)))
        }
    scores = _last_scores(ids)
    return [_summary(run_, scores[run_.id], trained.get(run_.id, [0, 0, 0])) for run_ in of_runs]


_Scores = dict[tuple[str, str], dict[int, float]]  # (variant, scope) -> client -> accuracy


def _summary(of: Run, scores: _Scores, trained: Sequence[float]) -> Summary:
    bytes_up, bytes_down, seconds = trained
    own, pooled = _deployed(scores, "own"), _deployed(scores, "pooled")
    return Summary(
        run=of.id,
        strategy=of.strategy,
        status=of.status,
        rounds=of.rounds_done,
        base_accuracy=_mean(scores[("base", "own")].values()),
        global_accuracy=_mean(scores[("global", "own")].values()),
        personal_accuracy=_mean(own.values()),
        worst_client_accuracy=min(own.values(), default=None),
        pooled_accuracy=_mean(pooled.values()),
        bytes_up=int(bytes_up),
        bytes_down=int(bytes_down),
        trainable_parameters=of.trainable_parameters,
        wall_seconds=round(of.wall_seconds, 3),
        train_seconds=round(seconds, 3),
        peak_rss_mb=of.peak_rss_mb,
    )


def _last_scores(run_ids: Collection[int]) -> dict[int, _Scores]:
    """Return each run's accuracies by client, each variant's in the last round that tested it.

    Clients that were tested only earlier do not count: the model was another one then.
    """
    last = (
        select(Evaluation.run_id, Evaluation.variant, func.max(Evaluation.round).label("round"))
        .where(Evaluation.run_id.in_(run_ids))
        .group_by(Evaluation.run_id, Evaluation.variant)
        .subquery()
    )
    # Joined, not looked up as a triple: SQLite would go through all evaluations there are.
    here = (
        (Evaluation.run_id == last.c.run_id)
        & (Evaluation.round == last.c.round)
        & (Evaluation.variant == last.c.variant)
    )
    columns = (Evaluation.run_id, Evaluation.variant, Evaluation.scope, Evaluation.client)
    scores: dict[int, _Scores] = defaultdict(lambda: defaultdict(dict))
    with reading() as session:
        rows = select(*columns, Evaluation.accuracy).join(last, here).order_by(*columns)
        for run_id, variant, scope, client, accuracy in session.execute(rows):
            scores[run_id][(variant, scope)][client] = accuracy
    return scores


def _deployed(scores: _Scores, scope: str) -> dict[int, float]:
    """Return the accuracies by client of the model that a client would use."""
    candidates = (scores.get((variant, scope)) for variant in VARIANTS)
    return next(filter(None, candidates), {})


def deployed_accuracies(run_id: int, scope: str) -> dict[int, float]:
    """Return accuracies by client, after the last round, of the model that a client would use."""
    return _deployed(_last_scores([run_id])[run_id], scope)


def own_accuracies(run_ids: Collection[int]) -> dict[int, float]:
    """Return runs' ``Summary.personal_accuracy``, of those that have one, for many at once."""
    scores = _last_scores(run_ids)
    means = {run_id: _mean(_deployed(scores[run_id], "own").values()) for run_id in run_ids}
    return {run_id: mean for run_id, mean in means.items() if mean is not None}


def base_accuracies(experiment_id: int) -> dict[int, float]:
    """Return the untouched base's accuracies by client, on their own test sets."""
    ids = [of_it.id for of_it in runs_of(experiment_id)]
    scores = _last_scores(ids)
    return next(filter(None, (scores[run_id].get(("base", "own")) for run_id in ids)), {})


@dataclass(frozen=True)
class Tradeoff:
    """Accuracy of the model that a client uses: on what it meets, and on what all meet."""

    run: int
    strategy: str
    client: int
    own: float
    pooled: float


def tradeoffs(run_id: int) -> list[Tradeoff]:
    """Return personalisation against generalisation, after the last round.

    Of every client that was tested then, in every run of the run's experiment. Raises NoSuchRun.
    """
    siblings = runs_of(run(run_id).experiment_id)
    scores = _last_scores([sibling.id for sibling in siblings])
    points: list[Tradeoff] = []
    for sibling in siblings:
        own = _deployed(scores[sibling.id], "own")
        pooled = _deployed(scores[sibling.id], "pooled")
        both = sorted(own.keys() & pooled.keys())
        points += [Tradeoff(sibling.id, sibling.strategy, k, own[k], pooled[k]) for k in both]
    return points


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None


_TRAINED = ("samples", "loss", "seconds", "bytes_up", "bytes_down", "drift_a", "drift_b")


def round_client_rows(run_id: int) -> list[dict[str, object]]:
    """Return every round × client as one flat row; None where it was not trained or scored.

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
