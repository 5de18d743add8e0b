"""What an experiment is: one pydantic model for form, command line, YAML file and database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

HeterogeneityKind = Literal["mixed", "concept", "domain", "label", "task", "quantity", "natural"]
StrategyKey = Literal[
    "zero-shot", "local", "centralized", "fedit", "fedprox", "plora", "fedsa", "ffa", "rolora",
    "fedex", "flora", "hetlora", "flexlora", "feddpa", "ditto",
]  # fmt: skip
BUNDLED = "bundled"  # of model: the one that comes with the lab
WORLD = "world"  # of dataset: the embedded one
ALL_LINEAR = "all-linear"  # of lora.targets: every linear layer of the language model

Metric = Literal["auto", "exact", "token_f1", "rouge_l", "vqa"]

MOST_TESTED = 64  # clients; to test a thousand would take longer than to train them


class ConfigError(ValueError):
    """A user's mistake in a config, in one sentence that names the key and what is allowed."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Heterogeneity(_Strict):
    """How clients differ: what differs (kind) and how much (level)."""

    kind: HeterogeneityKind = Field("mixed", title="What differs between clients")
    level: float = Field(0.8, ge=0, le=1, title="How much they differ")

    @model_validator(mode="before")
    @classmethod
    def _as_they_are(cls, values: Any) -> Any:
        """Clients that differ by nature differ wholly, unless something else is asked for."""
        if isinstance(values, dict) and values.get("kind") == "natural":
            return {"level": 1.0, **values}
        return values


class Data(_Strict):
    """How to read data that people bring; what is empty is guessed (engine/data)."""

    image: str = Field("", title="Column of the picture")
    question: str = Field("", title="Column of the question")
    answer: str = Field("", title="Column of the answer")
    client: str = Field("", title="Column of the client")
    rows: int = Field(2000, ge=16, le=1_000_000, title="Rows to read, at most")
    test_samples: int = Field(48, ge=1, le=2000, title="Test samples per client, at most")
    metric: Metric = Field("auto", title="Metric")
    answer_tokens: int = Field(12, ge=1, le=512, title="Longest answer, in tokens")


class Lora(_Strict):
    """The adapter: ΔW = (alpha / rank) · B · A on every target layer."""

    rank: int = Field(8, ge=1, le=64, title="LoRA rank")
    alpha: float = Field(16.0, gt=0, le=256, title="LoRA alpha")
    # Names of linear layers, such as q_proj, or all of the language model.
    targets: tuple[Annotated[str, Field(pattern=r"^[\w-]+$")], ...] = Field(
        (ALL_LINEAR,), min_length=1, title="Layers"
    )
    vision: bool = Field(False, title="LoRA on the vision tower too")
    # Only HetLoRA, FlexLoRA and FLoRA make use of it; empty: all have the same rank.
    client_ranks: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (), title="Clients' ranks, in turn"
    )

    @field_validator("client_ranks", mode="after")
    @classmethod
    def _at_most_the_rank(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if max(value, default=0) > info.data.get("rank", 64):
            raise ValueError(f"must not exceed lora.rank, which is {info.data['rank']}")
        return value

    @property
    def scale(self) -> float:
        """s = alpha / rank."""
        return self.alpha / self.rank

    def rank_of(self, client: int) -> int:
        """The rank that a client can afford, at most ``rank``."""
        return (
            self.client_ranks[client % len(self.client_ranks)] if self.client_ranks else self.rank
        )


class Privacy(_Strict):
    """Noise on what a client sends, in every round (engine/fl/privacy.py)."""

    clip: float = Field(0.0, ge=0, le=1000, title="Privacy: clip (0: off)")
    noise: float = Field(0.0, ge=0, le=100, title="Privacy: noise, in clips")
    delta: float = Field(1e-5, gt=0, lt=1, title="Privacy: δ")

    @field_validator("noise", mode="after")
    @classmethod
    def _clipped(cls, value: float, info: ValidationInfo) -> float:
        if value and not info.data.get("clip"):
            raise ValueError("needs privacy.clip above 0: noise is measured in clips")
        return value


class FedProxOptions(_Strict):
    """Options of ``fedprox``."""

    mu: float = Field(0.1, ge=0, le=100, title="FedProx: pull to the shared adapter, μ")


class PLoraOptions(_Strict):
    """Options of ``plora``."""

    start: Literal["persistent", "reset"] = Field(
        "persistent", title="pLoRA: A from the round before, or reset"
    )


class FedDpaOptions(_Strict):
    """Options of ``feddpa``."""

    weight: float = Field(0.5, ge=0.05, le=0.95, title="FedDPA: weight of the private adapter")


class DittoOptions(_Strict):
    """Options of ``ditto``."""

    lam: float = Field(0.1, ge=0, le=100, title="Ditto: pull to the shared adapter, λ")


_OPTIONS = {"fedprox", "plora", "feddpa", "ditto"}  # keys of options that one strategy has


class ExperimentConfig(_Strict):
    """One federation (clients, data, seed) and the strategies to run on it, one run each."""

    name: Annotated[str, Field(min_length=1, max_length=80, title="Name")] = "My experiment"
    model: str = Field(BUNDLED, min_length=1, max_length=500, title="Model")
    start: str = Field("", max_length=500, title="Adapter to start from")
    dataset: str = Field(WORLD, title="Data")
    data: Data = Data()
    clients: int = Field(4, ge=1, le=1000, title="Clients")
    samples_per_client: int = Field(256, ge=8, le=4096, title="Training samples per client")
    heterogeneity: Heterogeneity = Heterogeneity()
    lora: Lora = Lora()
    strategies: tuple[StrategyKey, ...] = Field(
        ("fedit", "plora"), min_length=1, title="Strategies"
    )
    fedprox: FedProxOptions = FedProxOptions()
    plora: PLoraOptions = PLoraOptions()
    feddpa: FedDpaOptions = FedDpaOptions()
    ditto: DittoOptions = DittoOptions()
    rounds: int = Field(8, ge=1, le=500, title="Rounds")
    local_steps: int = Field(12, ge=1, le=1000, title="Local steps per round")
    batch_size: int = Field(16, ge=1, le=256, title="Batch size")
    learning_rate: float = Field(3e-3, gt=0, le=1, title="Learning rate")
    participation: float = Field(1.0, gt=0, le=1, title="Share of clients per round")
    dropout: float = Field(0.0, ge=0, lt=1, title="Chance to drop out of a round")
    privacy: Privacy = Privacy()
    tested_on: Literal["test", "validation"] = Field("test", title="Tested on")
    seed: int = Field(0, ge=0, le=2**31 - 1, title="Seed")
    runtime: Literal["local"] = Field("local", title="Runtime")
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
        if value != WORLD and not (kind in ("folder", "hub") and place.strip()):
            raise ValueError(f"allowed: {WORLD}, folder:PATH or hub:OWNER/NAME")
        return value

    @field_validator("strategies", "lora", mode="after")
    @classmethod
    def _no_repeats(cls, value: Any) -> Any:
        items = value.targets if isinstance(value, Lora) else value
        if len(set(items)) != len(items):
            raise ValueError("must not name the same thing twice")
        return value

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate nested values; raises ConfigError with one sentence for the first mistake."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from None

    def without_training(self) -> Self:
        """The same model, data and seed with everything else at its default, to compare by."""
        keys = ("model", "start", "device", "dtype", "dataset", "data", "clients")
        keys += ("samples_per_client", "heterogeneity", "tested_on", "lora", "seed")
        keys += ("micro_batch", "checkpointing")
        return type(self)(**{key: getattr(self, key) for key in keys})

    def for_one(self, strategy: StrategyKey) -> Self:
        """What decides the numbers of one strategy's run: two runs with equal ones are the same.

        Name and runtime do not count, nor other strategies' options, nor the kind at level 0.
        """
        same = {"name": "", "strategies": (strategy,), "runtime": "local", "device": "auto"}
        others = {key: type(value)() for key, value in self if key in _OPTIONS - {strategy}}
        if self.dataset == WORLD:  # its answers are judged in one way
            same["data"] = self.data.model_copy(update={"metric": "auto"})
        if self.heterogeneity.level == 0:
            same["heterogeneity"] = Heterogeneity(level=0)
        return self.model_copy(update=same | others)

    @property
    def clients_per_round(self) -> int:
        """How many clients take part in a round; at least one."""
        return max(1, round(self.participation * self.clients))

    @property
    def clients_tested(self) -> int:
        """How many clients are tested after the last round: all, or MOST_TESTED of them."""
        return min(self.clients, MOST_TESTED)

    def to_yaml(self) -> str:
        """The config as a YAML file that ``--config`` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def read_yaml(text: str) -> dict[str, Any]:
    """The values of a YAML file; raises ConfigError when it is not a mapping."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"config: this is not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict):
        raise ConfigError("config: a config file holds 'key: value' lines")
    return values


def set_value(values: dict[str, Any], assignment: str) -> dict[str, Any]:
    """``values`` with one ``key=value`` of the command line put in; dots reach into sub-tables.

    Lists are comma-separated. Raises ConfigError when it is not of that form or the key is unknown.
    """
    key, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set takes key=value, not '{assignment}'")
    field = _field_at(key)
    value: Any = text  # pydantic reads numbers from text
    if "tuple" in str(field.annotation):
        value = [part.strip() for part in text.split(",") if part.strip()]
    head, _, tail = key.partition(".")
    if tail:
        return {**values, head: {**values.get(head, {}), tail: value}}
    return {**values, head: value}


@dataclass(frozen=True)
class FieldInfo:
    """What a form needs to know of one key."""

    key: str
    title: str
    low: Any
    high: Any

    def value_in(self, values: dict[str, Any]) -> Any:
        """The value of this key in nested values."""
        head, _, tail = self.key.partition(".")
        return values[head][tail] if tail else values[head]


def field(key: str) -> FieldInfo:
    """Title and limits of a numeric key; an open limit becomes one a small step inside."""
    found = _field_at(key)
    limits = {type(m).__name__: m for m in found.metadata}
    low = limits["Ge"].ge if "Ge" in limits else None
    if low is None and "Gt" in limits:
        low = limits["Gt"].gt + 1e-4
    high = limits["Le"].le if "Le" in limits else None
    if high is None and "Lt" in limits:
        high = limits["Lt"].lt - 1e-2
    number = float if found.annotation is float else int
    return FieldInfo(key, found.title, number(low), number(high))


def known_keys() -> list[str]:
    """Every key that ``--set`` takes, dotted."""
    keys: list[str] = []
    for name, field in ExperimentConfig.model_fields.items():
        sub = field.annotation
        nested = isinstance(sub, type) and issubclass(sub, BaseModel)
        keys += [f"{name}.{inner}" for inner in sub.model_fields] if nested else [name]
    return keys


def _field_at(key: str) -> Any:
    if key not in known_keys():
        raise ConfigError(f"{key}: there is no such key; allowed: {', '.join(known_keys())}")
    head, _, tail = key.partition(".")
    field = ExperimentConfig.model_fields[head]
    return field.annotation.model_fields[tail] if tail else field


def _sentence(error: ValidationError) -> str:
    """The first mistake as 'key: what is wrong and what is allowed (got …)'."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if not isinstance(part, int)]
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f"{key}: there is no such key; allowed: {', '.join(known_keys())}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]} (got {first['input']!r})"
