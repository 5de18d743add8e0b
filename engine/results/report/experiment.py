"""What the report of an experiment says."""

from __future__ import annotations

from collections.abc import Sequence

from db import reads
from db.tables import Run, now
from engine.config import ExperimentConfig
from engine.fl.resolved import Resolved
from engine.jobs import lookup
from engine.jobs.queue import NotPossible
from engine.results import charts, client_charts
from engine.results.look import STYLES, measured, name_of, size, style_of
from engine.results.report.command import command_of
from engine.results.report.contents import Chart, Contents, Figure, Section
from engine.results.report.examples import examples_of
from engine.results.report.tables import by_client, by_way, exact_percent, origin
from engine.results.verdict import Verdict, verdict
from engine.results.verdict_words import Sentence, compared, way, worth_it
from engine.results.way_charts import Way, ways_over_rounds


def experiment_contents(experiment_id: int) -> Contents:
    """Gather all that there is to say of an experiment.

    Raises NotPossible where nothing was trained yet, and ConfigError where its config is of another
    version.
    """
    runs = lookup.runs_of(experiment_id)
    tested = [run for run in runs if run.rounds_done]
    if not tested:
        raise NotPossible(f"experiment {experiment_id} has no finished round yet to report on")
    stored = runs[0].experiment
    config = ExperimentConfig.parse(stored.config)
    names = {client.client: client.name for client in reads.clients(experiment_id)}
    judged, sentence = _verdict(experiment_id)
    first, more = _charts(tested, names, config)
    own = "Right answers on each client's own test set after the last round."
    sections = [Section("Client by client", own, table=by_client(tested, judged))]
    if judged:
        done = [run for run in tested if run.status == "done"]
        disagreed = examples_of(done, compared(judged)[0], names)
        sections.append(Section("Pictures on which they disagree", examples=disagreed))
    sections += [
        Section("More curves", charts=more),
        Section("What each way cost", table=by_way(runs)),
    ]
    return Contents(
        what=f"experiment {experiment_id}",
        name=stored.name,
        made_at=f"{now():%Y-%m-%d %H:%M} UTC",
        sentence=sentence,
        notes=_notes(runs, judged),
        figures=_figures(tested),
        charts=first,
        sections=sections,
        command=command_of(config),
        yaml=config.to_yaml(),
        origin=origin(config, Resolved.from_dict(stored.resolved) if stored.resolved else None),
    )


def _verdict(experiment_id: int) -> tuple[Verdict | None, Sentence]:
    try:
        judged = verdict(experiment_id)
    except NotPossible as reason:
        return None, Sentence("No verdict yet", f": {reason}.")
    return judged, worth_it(judged)


def _notes(runs: Sequence[Run], judged: Verdict | None) -> list[str]:
    """Return what left the sites, how sure the verdict is, and which runs are not done."""
    notes = []
    if judged:
        notes += [
            f"{way(key)}: {size(cost.bytes_up)} sent, {cost.left_the_site} left the site."
            for key, cost in judged.costs.items()
        ]
        over = f"over {judged.draws} draws" if judged.draws > 1 else "over the same test questions"
        notes.append(f"In brackets: the 95 % interval of the difference, paired, {over}.")
    undone = [f"{name_of(run.strategy)} is {run.status}" for run in runs if run.status != "done"]
    return notes + ([f"{', '.join(undone)}: its figures are those so far."] if undone else [])


def _figures(runs: Sequence[Run]) -> list[Figure]:
    return [
        Figure(
            way(summary.strategy),
            exact_percent(summary.personal_accuracy),
            STYLES[style_of(summary.strategy)].colour,
        )
        for summary in reads.summaries(runs)
    ]


def _charts(
    runs: Sequence[Run], names: dict[int, str], config: ExperimentConfig
) -> tuple[list[Chart], list[Chart]]:
    """Return the charts on top, and those further down."""
    ways = [Way.of(run) for run in runs]
    means = [(way.run, way.means) for way in ways]
    loss = charts.variant_lines(means, "loss")
    planned = max(run.rounds for run in runs)
    usual = next((way for way in ways if way.run.strategy == "plora"), ways[-1])
    measure = measured(config)
    first = [
        Chart(
            "ways",
            f"{measure} on the clients' own test sets, by way",
            "Lines: mean over clients. Shade: from the worst client to the best.",
            ways_over_rounds(ways),
        ),
        Chart(
            "gains",
            f"{measure} on each client's own test set, a point per way",
            "Look for clients whose best point is not the one that is best on average.",
            client_charts.gains(client_charts.own_accuracies(runs), names),
        ),
    ]
    more = [
        Chart(
            "clients",
            f"Every client over the rounds: {name_of(usual.run.strategy)}",
            "Look for clients that stay behind the others.",
            client_charts.per_client(usual.run, usual.clients, names),
        ),
        Chart(
            "loss",
            "Loss on the clients' own test sets, mean over clients",
            "Lower is better; a line that turns up again means over-fitting.",
            charts.over_rounds(loss, planned, accuracy=False),
        ),
    ]
    if points := reads.tradeoffs(usual.run.id):
        more.append(
            Chart(
                "tradeoff",
                "Own against everybody's test questions, a point per client and way",
                "Higher: better at home. Further right: better for everybody's questions.",
                charts.own_over_pooled(points, names),
            )
        )
    return first, more
