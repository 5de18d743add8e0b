"""What Flower hands to both apps of a run: plain strings and numbers, the same on every runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flwr.app import Context, UserConfig

from engine.config import ExperimentConfig
from engine.strategies import Strategy


@dataclass(frozen=True)
class RunConfig:
    """One run: its id in the database, its strategy, its experiment (JSON) and its folder."""

    run: int
    strategy_key: str
    experiment: str
    folder: Path

    @classmethod
    def of(cls, context: Context) -> RunConfig:
        """Read what ``to_flower`` wrote."""
        values = context.run_config
        return cls(
            int(values["run"]),
            str(values["strategy"]),
            str(values["experiment"]),
            Path(str(values["folder"])),
        )

    def to_flower(self) -> UserConfig:
        """The values as Flower's run config."""
        return {
            "run": self.run,
            "strategy": self.strategy_key,
            "experiment": self.experiment,
            "folder": str(self.folder),
        }

    @cached_property
    def config(self) -> ExperimentConfig:
        """The experiment's config."""
        return ExperimentConfig.model_validate_json(self.experiment)

    @cached_property
    def strategy(self) -> Strategy:
        """The strategy's rule, with the experiment's options."""
        return self.config.rule(self.strategy_key)
