"""The lab from Python: ``from engine import lab``.

The same configs, database and worker as on the pages and the command line; docs/python.md shows it.
A mistake is a ``ConfigError`` or ``NotPossible`` with one sentence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.paths import keep_quiet

keep_quiet()  # before flwr is imported

from db import reads, sweeps
from db.sweeps import NoSuchSweep, PointRun
from db.tables import ALIVE, Run
from engine.cli import doors
from engine.config import ConfigError, ExperimentConfig, read_config
from engine.data.dataset import Example
from engine.data.factory import dataset_of
from engine.data.pictures import BadPicture, read_picture
from engine.jobs import foreground, lookup, queue
from engine.jobs import sweeps as sweeping
from engine.jobs.queue import NotPossible
from engine.jobs.validate import resolved_of
from engine.presets import preset
from engine.results import tables
from engine.results.bundle.opening import open_bundle
from engine.results.bundle.rows import BadBundle
from engine.results.bundle.writing import write_bundle
from engine.results.report.page import report, sweep_report, write_report
from engine.results.sweep import SweepResult, sweep_result
from engine.results.variants import VariantAnswer
from engine.results.verdict import Verdict, verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BadBundle",
    "BadPicture",
    "ConfigError",
    "Experiment",
    "ExperimentConfig",
    "NoSuchSweep",
    "NotPossible",
    "Sweep",
    "config",
    "experiments",
    "open",
    "run",
    "submit",
    "submit_sweep",
    "sweep",
]

_POLL_SECONDS = 0.3
_YAML = (".yaml", ".yml")
Config = ExperimentConfig | Mapping[str, Any] | str | Path


def config(start: Config | None = None, /, **changes: Any) -> ExperimentConfig:
    """Return a config: defaults, a preset's name, a YAML file or values, with changes put in.

    A table of keys is a mapping, ``lora={"rank": 4}``, which changes no other of its keys; with
    dots it is ``**{"lora.rank": 4}``. Raises ConfigError.
    """
    values: dict[str, Any] = {}
    if isinstance(start, ExperimentConfig):
        values = start.model_dump(exclude_unset=True)
    elif isinstance(start, Mapping):
        values = dict(start)
    elif isinstance(start, Path) or (start and start.endswith(_YAML)):
        values = read_config(Path(start))
    elif start is not None:
        values = preset(start)
    for dotted, value in changes.items():
        key, _, tail = dotted.partition(".")
        value, table = {tail: value} if tail else value, values.get(key)
        if isinstance(value, Mapping) and isinstance(table, Mapping):
            value = {**table, **value}
        values = {**values, key: value}
    return ExperimentConfig.parse(values)


def run(start: Config | None = None, /, *, show: bool = True, **changes: Any) -> Experiment:
    """Run an experiment in this process; see ``config`` for what it takes. Raises ConfigError.

    ``show``: what of the data is used, and a progress bar on a terminal.
    """
    experiment, _ = foreground.run_in_foreground(_plain(config(start, **changes)), show=show)
    return Experiment(experiment)


def submit(start: Config | None = None, /, **changes: Any) -> Experiment:
    """Queue an experiment for the background worker and return at once. Raises ConfigError."""
    experiment, _ = queue.submit(_plain(config(start, **changes)))
    return Experiment(experiment)


def sweep(start: Config | None = None, /, *, show: bool = True, **changes: Any) -> Sweep:
    """Run a sweep in this process: ``sweep={"lora.rank": [2, 8]}``, ``repeats=3``, or both.

    What is stored already is not run again. Raises ConfigError.
    """
    return Sweep(foreground.run_sweep_in_foreground(config(start, **changes), show=show))


def submit_sweep(start: Config | None = None, /, **changes: Any) -> Sweep:
    """Queue a sweep for the background worker and return at once. Raises ConfigError."""
    return Sweep(sweeping.submit(config(start, **changes)))


def open(experiment: int | str | Path) -> Experiment:
    """Return a stored experiment by its number, or the one in a bundle, which is stored first.

    Raises NotPossible, BadBundle.
    """
    if isinstance(experiment, (str, Path)):
        return Experiment(open_bundle(Path(experiment)))
    lookup.runs_of(experiment)
    return Experiment(experiment)


def experiments() -> list[Experiment]:
    """Return all stored experiments, newest first."""
    return [Experiment(row.id) for row in reads.experiment_names()]


@dataclass(frozen=True)
class Experiment:
    """A stored experiment, by its number; what it says is read when it is asked for."""

    number: int

    def __repr__(self) -> str:
        states = ", ".join(f"{run.strategy} {run.status}" for run in self.runs)
        return f"Experiment {self.number}, {self.name!r}: {states}"

    @property
    def runs(self) -> list[Run]:
        """Return its runs as they are stored, one per strategy. Raises NotPossible for none."""
        return lookup.runs_of(self.number)

    @property
    def name(self) -> str:
        """Return its name."""
        return self.runs[0].experiment.name

    @property
    def config(self) -> ExperimentConfig:
        """Return its config."""
        return ExperimentConfig.parse(self.runs[0].experiment.config)

    def wait(self, seconds: float = float("inf")) -> Experiment:
        """Wait until no run is at work any more, at most so long; return the experiment."""
        _wait(lambda: self.runs, seconds)
        return self

    def stop(self) -> None:
        """Ask all runs to stop; their finished rounds are kept."""
        queue.stop_all(self.number)

    def resume(self) -> Experiment:
        """Queue the runs again that are not done, for the background worker. Raises ConfigError."""
        for run in self.runs:
            if run.status not in (*ALIVE, "done"):
                queue.resume(run.id)
        return self

    def table(self, name: str) -> pd.DataFrame:
        """Return a table: runs, clients, rounds, client_rounds, evaluations or predictions."""
        return _table(name, [run.id for run in self.runs])

    def verdict(self) -> Verdict:
        """Say who gains from federating, how surely, at what cost. Raises NotPossible."""
        return verdict(self.number)

    def examples(self, client: int, split: str = "test") -> Sequence[Example]:
        """Return a client's ``train`` or ``test`` set: pictures, questions and right answers.

        Raises ConfigError where the data have changed or gone, IndexError for no such client.
        """
        return dataset_of(self.config, resolved_of(self.runs[0].experiment).data).examples(
            client, split
        )

    def ask(
        self,
        image: np.ndarray | str | Path,
        question: str,
        *,
        client: int = 0,
        strategy: str | None = None,
    ) -> list[VariantAnswer]:
        """Ask a client's models about a picture: (height, width, 3) uint8, or a file.

        ``strategy``: whose personalised model answers, by default pLoRA's or the last one's.
        Raises NotPossible, BadPicture.
        """
        if not isinstance(image, np.ndarray):
            if not Path(image).is_file():
                raise BadPicture(f"image: there is no file {image}")
            image = read_picture(Path(image).read_bytes())
        return doors.results().ask.ask(self._run_of(strategy).id, client, image, question)

    def report(self, file: str | Path) -> Path:
        """Write the report as one HTML file that opens offline; return where it is."""
        write_report(report(self.number), Path(file))
        return Path(file)

    def bundle(self, file: str | Path) -> Path:
        """Write the experiment with its adapters as a file that another lab opens; return where."""
        write_bundle(self.number, Path(file))
        return Path(file)

    def _run_of(self, strategy: str | None) -> Run:
        by_strategy = {run.strategy: run for run in self.runs}
        usual = "plora" if "plora" in by_strategy else list(by_strategy)[-1]
        if (strategy or usual) not in by_strategy:
            raise NotPossible(f"strategy: '{strategy}' is none of {', '.join(by_strategy)}")
        return by_strategy[strategy or usual]


@dataclass(frozen=True)
class Sweep:
    """A stored sweep, by its number; what it says is read when it is asked for."""

    number: int

    def __repr__(self) -> str:
        done = sum(run.status == "done" for run in self.runs)
        return f"Sweep {self.number}, {self.name!r}: {done} of {len(self.runs)} runs done"

    @property
    def runs(self) -> list[PointRun]:
        """Return its runs in short, by point. Raises NoSuchSweep."""
        sweeps.sweep(self.number)
        return sweeps.runs(self.number)

    @property
    def name(self) -> str:
        """Return its name. Raises NoSuchSweep."""
        return sweeps.sweep(self.number).name

    @property
    def experiments(self) -> list[Experiment]:
        """Return the experiments behind its points, each once."""
        return [Experiment(n) for n in dict.fromkeys(run.experiment for run in self.runs)]

    def result(self) -> SweepResult:
        """Return means with their intervals over draws, and paired differences, so far."""
        return sweep_result(self.number)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of all its runs, as ``Experiment.table`` does of one experiment's."""
        return _table(name, [run.run for run in self.runs])

    def wait(self, seconds: float = float("inf")) -> Sweep:
        """Wait until no run is at work any more, at most so long; return the sweep."""
        _wait(lambda: self.runs, seconds)
        return self

    def stop(self) -> None:
        """Ask all its runs to stop; finished rounds are kept. Raises NotPossible."""
        sweeping.stop(self.number)

    def resume(self) -> Sweep:
        """Have the background worker do what is not done. Raises NotPossible, ConfigError."""
        sweeping.resume(self.number)
        return self

    def report(self, file: str | Path) -> Path:
        """Write the report as one HTML file that opens offline; return where it is."""
        write_report(sweep_report(self.number), Path(file))
        return Path(file)


def _plain(wanted: ExperimentConfig) -> ExperimentConfig:
    """Return the config of one experiment. Raises NotPossible for that of a sweep."""
    if wanted.is_swept:
        raise NotPossible("repeats and sweep: lab.sweep runs a sweep, lab.run one experiment")
    return wanted


def _table(name: str, runs: list[int]) -> pd.DataFrame:
    if name not in tables.TABLES:
        raise NotPossible(f"table: '{name}' is none; allowed: {', '.join(tables.TABLES)}")
    return tables.frame(name, runs)


def _wait(runs: Callable[[], Sequence[Run] | Sequence[PointRun]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(run.status in ALIVE for run in runs()) and time.monotonic() < end:
        queue.tend()
        time.sleep(_POLL_SECONDS)
