"""An experiment's config: one federation and the strategies to run on it, or a sweep of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from engine.config import sweep as sweeping
from engine.config.errors import ConfigError
from engine.config.sentences import sentence
from engine.config.sweep import MOST_REPEATS, Axis, Sweep
from engine.config.tables import (
    BUNDLED,
    DIGITS,
    EASY_VQA,
    SITE,
    SITES,
    WORLD,
    Data,
    Flower,
    Heterogeneity,
    Lora,
    Privacy,
    Table,
)
from engine.plugins import PluginError
from engine.strategies import STRATEGIES, Strategy
from engine.strategies.averaging import Average, Rule

MOST_TESTED = 64  # clients; to test a thousand would take longer than to train them

if TYPE_CHECKING:
    StrategyKey = str
else:
    StrategyKey = Literal[tuple(STRATEGIES)]

_WITHOUT_TRAINING = (
    *("model", "start", "device", "dtype", "dataset", "data", "clients", "fault_share"),
    *("samples_per_client", "heterogeneity", "tested_on", "lora", "seed"),
    *("training_seed", "micro_batch", "checkpointing"),
)


class Point(NamedTuple):
    """A plain experiment of a sweep: its values, in the order of the swept keys, and its draw."""

    values: tuple[Any, ...]
    config: ExperimentConfig


class _Experiment(Table):
    """One federation (clients, data, seed) and the strategies to run on it, one run each."""

    name: Annotated[str, Field(min_length=1, max_length=80, title="Name")] = "My experiment"
    model: str = Field(BUNDLED, min_length=1, max_length=500, title="Model")
    start: str = Field("", max_length=500, title="Adapter to start from")
    dataset: str = Field(WORLD, title="Data")
    data: Data = Data()
    clients: int = Field(4, ge=1, le=1000, title="Clients")
    fault_share: float = Field(0.4, ge=0, le=1, title="Share of questions about faults")
    samples_per_client: int = Field(256, ge=8, le=4096, title="Training samples per client")
    heterogeneity: Heterogeneity = Heterogeneity()
    lora: Lora = Lora()
    strategies: tuple[StrategyKey, ...] = Field(
        ("fedit", "plora"), min_length=1, title="Strategies"
    )
    rounds: int = Field(8, ge=1, le=500, title="Rounds")
    local_steps: int = Field(12, ge=1, le=1000, title="Local steps per round")
    batch_size: int = Field(16, ge=1, le=256, title="Batch size")
    learning_rate: float = Field(3e-3, gt=0, le=1, title="Learning rate")
    participation: float = Field(1.0, gt=0, le=1, title="Share of clients per round")
    dropout: float = Field(0.0, ge=0, lt=1, title="Chance to drop out of a round")
    robust: Rule = Field("mean", title="Average of what clients send")
    faulty_clients: int = Field(1, ge=1, le=499, title="Faulty clients per round it bears with")
    privacy: Privacy = Privacy()
    tested_on: Literal["test", "validation"] = Field("test", title="Tested on")
    seed: int = Field(0, ge=0, le=2**31 - 1, title="Seed")
    training_seed: int = Field(
        -1, ge=-1, le=2**31 - 1, title="Seed of the training alone (-1: the same)"
    )
    repeats: int = Field(1, ge=1, le=MOST_REPEATS, title="Repeats, each with the next seed")
    sweep: Sweep = Field((), title="Sweep over")
    runtime: Literal["local", "ray", "superlink"] = Field("local", title="Runtime")
    flower: Flower = Flower()
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", title="Device")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", title="Number format")
    micro_batch: int = Field(0, ge=0, le=256, title="Rows per pass (0: what fits)")
    checkpointing: bool = Field(False, title="Gradient checkpointing: less memory, slower")

    @model_validator(mode="before")
    @classmethod
    def _by_nature(cls, values: Any) -> Any:
        """Clients of data that people bring are those of its ``client`` column, if not said."""
        if isinstance(values, dict) and values.get("dataset", WORLD) != WORLD:
            given = values.get("heterogeneity", {})
            if isinstance(given, dict):
                return {**values, "heterogeneity": {"kind": "natural", **given}}
        return values

    @field_validator("dataset", mode="after")
    @classmethod
    def _says_where(cls, value: str) -> str:
        kind, _, place = value.partition(":")
        known = value in (WORLD, DIGITS, EASY_VQA, SITES)
        if not known and not (kind in ("folder", "hub", SITE) and place.strip()):
            raise ValueError(
                f"allowed: {WORLD}, {DIGITS}, {EASY_VQA}, folder:PATH, hub:OWNER/NAME or {SITES}"
            )
        return value

    @field_validator("strategies", "lora", mode="after")
    @classmethod
    def _no_repeats(cls, value: Any) -> Any:
        items = value.targets if isinstance(value, Lora) else value
        if len(set(items)) != len(items):
            raise ValueError("must not name the same thing twice")
        return value

    @field_validator("sweep", mode="after")
    @classmethod
    def _of_known_keys(cls, value: tuple[Axis, ...], info: ValidationInfo) -> tuple[Axis, ...]:
        return sweeping.checked(cls, value, info)

    @field_validator("robust", mode="after")
    @classmethod
    def _can_be_averaged(cls, value: Rule, info: ValidationInfo) -> Rule:
        for key in info.data.get("strategies", ()):
            if value != "mean" and not STRATEGIES[key].takes_any_average():
                raise ValueError(f"{key} averages in a way of its own; allowed with it: mean")
        return value

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate nested values; raises ConfigError with one sentence for the first mistake."""
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(sentence(error, cls)) from None
        config.points()
        return config

    @property
    def is_swept(self) -> bool:
        """Tell whether this stands for several experiments; see ``points``."""
        return self.repeats > 1 or bool(self.sweep)

    def points(self) -> list[Point]:
        """Return the plain experiments that this stands for, draw by draw; itself if not swept.

        Every draw has the next seed. What nobody has set stays unset. Raises ConfigError with the
        point that is not possible.
        """
        if not self.is_swept:
            return [Point((), self)]
        base = self.model_dump(exclude_unset=True, exclude={"repeats", "sweep"})
        axes = [axis.values for axis in self.sweep]
        draws = range(self.seed, self.seed + self.repeats)
        return [self._point(base, values, seed) for seed in draws for values in product(*axes)]

    def _point(self, base: dict[str, Any], values: tuple[Any, ...], seed: int) -> Point:
        for axis, value in zip(self.sweep, values, strict=True):
            base = sweeping.put(base, axis.key, value)
        at = sweeping.told(self.sweep, values)
        label = ", ".join(filter(None, (at, f"seed {seed}" if self.repeats > 1 else "")))
        name = f"{self.name[: max(1, 77 - len(label))]} · {label}"[:80]
        try:
            point = type(self).model_validate({**base, "seed": seed, "name": name})
        except ValidationError as error:
            told = sentence(error, type(self))
            raise ConfigError(f"{'sweep' if at else 'repeats'}: at {label}: {told}") from None
        return Point(values, point)

    def without_training(self) -> Self:
        """Return the same model, data and seed with all else at its default, to compare by."""
        return type(self)(**{key: getattr(self, key) for key in _WITHOUT_TRAINING})

    def for_one(self, strategy: StrategyKey) -> Self:
        """Return what decides the numbers of one strategy's run: with equal ones runs are the same.

        Name and runtime do not count, nor other strategies' options, nor the kind at level 0, nor,
        where nothing is sent, how that is averaged and protected.
        """
        same: dict[str, Any] = {
            "name": "",
            "repeats": 1,
            "sweep": (),
            "strategies": (strategy,),
            "runtime": "local",
            "flower": Flower(),
            "device": "auto",
        }
        others = {key: type(value)() for key, value in self if key in _OPTIONS and key != strategy}
        if self.dataset == WORLD:  # its answers are judged in one way
            same["data"] = self.data.model_copy(update={"metric": "auto"})
        if self.heterogeneity.level == 0:
            same["heterogeneity"] = Heterogeneity(level=0)
        if self.robust in ("mean", "median"):
            same["faulty_clients"] = 1
        if STRATEGIES[strategy].server_trains or not STRATEGIES[strategy].shared_factors:
            same |= {"robust": "mean", "faulty_clients": 1, "privacy": Privacy()}
        return self.model_copy(update=same | others)

    def rule(self, strategy: StrategyKey) -> Strategy:
        """Return the rule of a strategy, with the options that this config gives it."""
        options = getattr(self, strategy) if strategy in _OPTIONS else None
        return STRATEGIES[strategy](options, self.average)

    @property
    def average(self) -> Average:
        """How the server averages what the clients send."""
        return Average(self.robust, self.faulty_clients)

    @property
    def drawn_from(self) -> int:
        """The seed of A₀, of the order of batches and of who takes part; data are from ``seed``."""
        return self.seed if self.training_seed < 0 else self.training_seed

    @property
    def clients_per_round(self) -> int:
        """How many clients take part in a round; at least one."""
        return max(1, round(self.participation * self.clients))

    @property
    def clients_tested(self) -> int:
        """How many clients are tested after the last round: all, or MOST_TESTED of them."""
        return min(self.clients, MOST_TESTED)

    def to_yaml(self) -> str:
        """Return the config as a YAML file that ``--config`` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


# Options of the strategies that have some, by the strategy's key.
_OPTIONS = {
    key: rule.options_model for key, rule in STRATEGIES.items() if rule.options_model is not None
}
if taken := _OPTIONS.keys() & _Experiment.model_fields.keys():
    raise PluginError(f"strategy {min(taken)!r} has options, but a config has that key already")
if TYPE_CHECKING:
    ExperimentConfig = _Experiment
else:
    ExperimentConfig = create_model(
        "ExperimentConfig",
        __base__=_Experiment,
        __module__=__name__,
        __doc__=_Experiment.__doc__,
        **{key: (options, options()) for key, options in _OPTIONS.items()},
    )
