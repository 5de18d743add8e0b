"""The tables of a config: how clients differ, data that people bring, the adapter, privacy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.adapters.adapter import ALL_LINEAR
from engine.metrics import METRICS

HeterogeneityKind = Literal["mixed", "concept", "domain", "label", "task", "quantity", "natural"]
BUNDLED = "bundled"  # of model: the one that comes with the lab
WORLD = "world"  # of dataset: the embedded one
DIGITS = "digits"  # of dataset: scikit-learn's handwritten digits
EASY_VQA = "easy-vqa"  # of dataset: the public set of that name
SITES = "sites"  # of dataset: what each client has at its own place
SITE = "site"  # of dataset, at such a place: site:PATH, all rows of that folder

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[("auto", *METRICS)]


class Table(BaseModel):
    """Keys of a config: all known, none to be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Heterogeneity(Table):
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


class Data(Table):
    """How to read data that people bring; what is empty is guessed (engine/data)."""

    image: str = Field("", title="Column of the picture")
    question: str = Field("", title="Column of the question")
    answer: str = Field("", title="Column of the answer")
    client: str = Field("", title="Column of the client")
    rows: int = Field(2000, ge=16, le=1_000_000, title="Rows to read, at most")
    test_samples: int = Field(48, ge=1, le=2000, title="Test samples per client, at most")
    metric: Metric = Field("auto", title="Metric")
    answer_tokens: int = Field(12, ge=1, le=512, title="Longest answer, in tokens")


class Flower(Table):
    """Flower's own engines, where the runtime is one of them; the numbers do not depend on it."""

    actors: int = Field(0, ge=0, le=1024, title="Ray: clients at once (0: what fits)")
    gpu_share: float = Field(0.0, ge=0, le=1, title="Ray: a client's share of a GPU (0: what fits)")
    client_process: Literal["warm", "per message"] = Field(
        "warm", title="SuperNodes: a client's process"
    )
    wait: int = Field(300, ge=5, le=86_400, title="Seconds to wait for a client that is away")


class Lora(Table):
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
        """S = alpha / rank."""
        return self.alpha / self.rank

    def rank_of(self, client: int) -> int:
        """Return the rank that a client can afford, at most ``rank``."""
        return (
            self.client_ranks[client % len(self.client_ranks)] if self.client_ranks else self.rank
        )


class Privacy(Table):
    """Noise on what a client sends, in every round, and its limit (engine/fl/privacy.py)."""

    clip: float = Field(0.0, ge=0, le=1000, title="Privacy: clip (0: off)")
    noise: float = Field(0.0, ge=0, le=100, title="Privacy: noise, in clips")
    delta: float = Field(1e-5, gt=0, lt=1, title="Privacy: δ")
    max_epsilon: float = Field(0.0, ge=0, le=1e6, title="Privacy: largest ε (0: no limit)")

    @field_validator("noise", mode="after")
    @classmethod
    def _clipped(cls, value: float, info: ValidationInfo) -> float:
        if value and not info.data.get("clip"):
            raise ValueError("needs privacy.clip above 0: noise is measured in clips")
        return value

    @field_validator("max_epsilon", mode="after")
    @classmethod
    def _noisy(cls, value: float, info: ValidationInfo) -> float:
        if value and not info.data.get("noise"):
            raise ValueError("needs privacy.noise above 0: without noise nothing is promised")
        return value
