"""``bench digits`` and ``bench easy-vqa``: presets on real data over draws, four ways and ours.

Draws share pictures, for there are so many and no more; they differ in who holds which, in words
and in A₀.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.bench import results_file
from engine.bench.crossing import CROSSING, OURS, difference, gains, over_best
from engine.bench.grid import own_accuracy, run_grid
from engine.config import ExperimentConfig
from engine.metrics.intervals import SHARE, Interval

DRAWS = 10
TITLES = {
    "digits": "Handwritten digits: real pictures, the same four ways and ours",
    "easy-vqa": "easy-VQA: a public set of questions, the same four ways and ours",
}
Own = dict[str, list[float]]  # strategy -> own accuracy by draw


def measure_pictures(base: ExperimentConfig, draws: int = DRAWS) -> Own:
    """Run what is not stored yet of a preset in TITLES; raises RunsFailed."""
    configs = {s: [_config(base, s, seed) for seed in range(draws)] for s in CROSSING}
    runs = run_grid(base.dataset, [config for of_it in configs.values() for config in of_it])
    return {s: [own_accuracy(runs[c]) for c in of_it] for s, of_it in configs.items()}


def _config(base: ExperimentConfig, strategy: str, seed: int) -> ExperimentConfig:
    values = {"strategies": [strategy], "seed": seed, "name": f"bench {base.dataset}: seed {seed}"}
    return ExperimentConfig.parse(base.model_dump() | values)


def as_dict(base: ExperimentConfig, own: Own) -> dict[str, Any]:
    """Return everything as plain values; accuracies and gains are fractions."""
    return {
        "draws": len(own["local"]),
        "base": base.model_dump(mode="json"),
        "own": own,
        "intervals": {s: asdict(Interval.of(values, SHARE)) for s, values in own.items()},
        **gains(own),
        "ours_over_best_of_four": over_best(own, (key for key in own if key != OURS)),
    }


def page_of(name: str) -> str:
    """Return the name of the page about a preset."""
    return f"{name.upper().replace('-', '_')}.md"


def table(own: Own) -> Table:
    """Draw the figures for a terminal."""
    shown = Table("strategy", "own", "over local", "over fedit", title=f"{len(own['local'])} draws")
    for cells in _rows(own):
        shown.add_row(*cells)
    return shown


def write_pictures(base: ExperimentConfig, own: Own, folder: Path = results_file.OUT) -> None:
    """Write DIGITS.md or EASY_VQA.md, and put the same into results.json."""
    name, draws = base.dataset, len(own["local"])
    kind, level = base.heterogeneity.kind, base.heterogeneity.level
    lines = [
        f"# {TITLES[name]}",
        "",
        f"Written by `python -m engine bench {name} --seeds {draws} --report`: {draws} draws of "
        f"the preset `{name}`, {base.clients} clients, {base.samples_per_client} training samples "
        f"each, `{kind}` {level:g}, {base.rounds} rounds of {base.local_steps} steps of "
        f"{base.batch_size}. Percent of right answers on the clients' own test sets, in brackets "
        "the 95 % interval over draws (Student's t on the logit); differences in points, paired by "
        "draw. Draws share pictures.",
        "",
        "| | own | over `local` | over `fedit` |",
        "|---|---|---|---|",
        *(f"| `{key}` | {own_} | {alone} | {shared} |" for key, own_, alone, shared in _rows(own)),
    ]
    (folder / page_of(name)).write_text("\n".join(lines) + "\n", encoding="utf-8")
    results_file.put({name: as_dict(base, own)}, folder)


def _rows(own: Own) -> list[tuple[str, str, str, str]]:
    """Return a strategy, its accuracy, and its differences to alone and to shared, as text."""
    return [
        (
            key,
            Interval.of(values, SHARE).points(),
            "" if key == "local" else difference(values, own["local"]).points(sign=True),
            "" if key == "fedit" else difference(values, own["fedit"]).points(sign=True),
        )
        for key, values in own.items()
    ]
