"""The figures of ``bench speed``: by part, each with the machine that it was measured on.

They are kept in benchmarks/speed.json, so that a part can be measured anew alone, and on a machine
with a GPU that which needs one.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from pydantic import TypeAdapter

from engine.bench.full_size import FullSize
from engine.bench.runtimes import Overhead
from engine.system.machine import cores


@dataclass
class SpeedReport:
    """The last line of ``bench speed --json``; what was not measured is None. Times in seconds."""

    reference_over_ours: float | None = None
    ours_over_floor: float | None = None
    fused_over_sequential: dict[str, float] | None = None
    first_round_warm_s: float | None = None
    first_round_cold_s: float | None = None
    quickstart_s: float | None = None
    losses_agree: bool | None = None
    side_by_side: dict[str, float] | None = None


@dataclass
class Measured:
    """Everything behind the report, for benchmarks/SPEED.md."""

    report: SpeedReport = field(default_factory=SpeedReport)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    many: dict[int, dict[str, float]] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    runtimes: dict[str, Overhead] = field(default_factory=dict)
    full_size: FullSize | None = None
    agree: dict[str, bool] = field(default_factory=dict)  # part -> whether all losses did
    where: dict[str, str] = field(default_factory=dict)  # part -> machine

    def time(self, name: str) -> float:
        """Return the median of what was noted under a name."""
        return median(self.seconds[name])

    def lines(self) -> list[str]:
        """List all figures, for people."""
        lines = [f"{name}: {self.time(name):.2f} s" for name in self.seconds]
        for clients, row in self.many.items():
            figures = ", ".join(f"{name} {value:.1f}" for name, value in row.items())
            lines.append(f"{clients} clients: {figures}")
        for name, parts in (("before", self.before), ("after", self.after)):
            lines += [f"{name}: {part} {value:.3g}" for part, value in parts.items()]
        lines += [f"{name}: {vars(overhead)}" for name, overhead in self.runtimes.items()]
        if self.full_size:
            lines += [f"full size: {name} {value}" for name, value in vars(self.full_size).items()]
        return lines

    def note(self, name: str, seconds: float) -> None:
        """Add one measurement."""
        self.seconds.setdefault(name, []).append(seconds)

    def compare(self, part: str, agree: bool) -> None:
        """Say whether the losses of one part agree; those of all parts must."""
        self.agree[part] = agree and self.agree.get(part, True)
        self.report.losses_agree = all(self.agree.values())

    def over(self, older: Measured) -> Measured:
        """Return the older figures with these in their place."""
        known = {name: own for name, own in vars(self.report).items() if own is not None}
        agree = older.agree | self.agree
        report = SpeedReport(**{**vars(older.report), **known})
        report.losses_agree = all(agree.values()) if agree else None
        return Measured(
            report,
            older.seconds | self.seconds,
            older.many | self.many,
            self.before or older.before,
            self.after or older.after,
            older.runtimes | self.runtimes,
            self.full_size or older.full_size,
            agree,
            older.where | self.where,
        )


def load(folder: Path) -> Measured:
    """Return the figures that are stored; none where nothing is."""
    path = folder / "speed.json"
    return _FIGURES.validate_json(path.read_bytes()) if path.exists() else Measured()


def store(measured: Measured, folder: Path) -> None:
    """Write all figures as JSON."""
    (folder / "speed.json").write_bytes(_FIGURES.dump_json(measured, indent=1) + b"\n")


def this_machine() -> str:
    """Return what the figures depend on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{cores()} {platform.machine()} cores ({torch.backends.cpu.get_cpu_capability()}), {gpu}, "
        f"Python {platform.python_version()}"
    )


_FIGURES = TypeAdapter(Measured)
