"""What Flower hands to both apps of a run: plain strings and numbers, the same on every runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from flwr.app import Context, UserConfig

from engine.config import SITE, SITES, ExperimentConfig
from engine.data.factory import new_dataset
from engine.fl.resolved import Resolved, resolve
from engine.strategies import Strategy
from engine.system.faults import RunFailed


@dataclass(frozen=True)
class RunConfig:
    """One run: its id in the database, its strategy, its experiment and its folder.

    ``resolved`` says what the experiment meant when it was submitted; None: what it means now.
    """

    run: int
    strategy_key: str
    config: ExperimentConfig
    folder: Path
    resolved: Resolved | None = None

    @classmethod
    def of(cls, context: Context) -> RunConfig:
        """Return what ``to_flower`` wrote; a process reads it once for each run."""
        return _read(*(str(context.run_config[key]) for key in _KEYS))

    def to_flower(self) -> UserConfig:
        """Return the values as Flower's run config."""
        resolved = json.dumps(self.resolved.to_dict()) if self.resolved else ""
        experiment = self.config.model_dump_json()
        values = (str(self.run), self.strategy_key, experiment, str(self.folder), resolved)
        return dict(zip(_KEYS, values, strict=True))

    @cached_property
    def strategy(self) -> Strategy:
        """The strategy's rule, with the experiment's options."""
        return self.config.rule(self.strategy_key)

    def at(self, node: Mapping[str, object]) -> RunConfig:
        """Return the run as a node knows it, by its node config: with data of its own, if so.

        Raises RunFailed, ConfigError.
        """
        if self.config.dataset != SITES:
            return self
        kind, _, place = str(node.get("dataset", "")).partition(":")
        if kind != "folder":
            raise RunFailed(
                f"client {node['partition-id']} has no data: its node config must say "
                'dataset="folder:PATH"'
            )
        return _at_site(self, place)


OF_A_RUN = ("run", "strategy", "folder")  # the others are the same for an experiment's runs
_KEYS = ("run", "strategy", "experiment", "folder", "resolved")


@lru_cache(maxsize=32)  # more than an experiment has runs
def _read(run: str, strategy: str, experiment: str, folder: str, resolved: str) -> RunConfig:
    config = ExperimentConfig.model_validate_json(experiment)
    model_and_data = Resolved.from_dict(json.loads(resolved)) if resolved else None
    return RunConfig(int(run), strategy, config, Path(folder), model_and_data)


@lru_cache(maxsize=32)
def _at_site(run: RunConfig, place: str) -> RunConfig:
    config = run.config.model_copy(update={"dataset": f"{SITE}:{place}"})
    resolved = replace(run.resolved or resolve(config), data=new_dataset(config).resolve())
    return replace(run, config=config, resolved=resolved)
