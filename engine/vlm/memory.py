"""How much memory an experiment's model needs, what there is, and how many rows fit in one pass.

In bytes, for a whole round: the tower looks at pictures, clients train in one pass, their factors
wait for the average, and all are tested. Activations follow a rule of thumb: in each layer a token
costs 4 · (12 · hidden + 5 · inner) bytes. Torch keeps 2.8 times the bracket for a Llama layer with
LoRA on all of it, in float32 as in bfloat16 (factors and norms are float32 in both); the rest is
for what comes and goes. tests/unit/vlm/test_memory.py measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import BUNDLED, ConfigError, ExperimentConfig
from engine.system.machine import room
from engine.vlm.families import family_of
from engine.vlm.limits import MOST_ROWS, PASS_PIXELS, SMALL_MODEL, MicroBatch
from engine.vlm.resolved import ResolvedModel

_FLOAT32 = 4
_ADAM = 4 * _FLOAT32  # a trained number, its gradient and two running means
_ROUND = 5 * _FLOAT32  # a client's number on its way: read, sent, received, averaged in float64
_PER_NUMBER = 4
_LOOKING = 6 * _FLOAT32  # a layer without gradients: what goes in, products, what comes out
_SETS = 64 * 2**20  # bytes of encoded sets that are held (data/cache.py); larger ones are mapped
_LOGITS = 4 * _FLOAT32  # as they come, as float32, as log-probabilities, their gradient
_HEADROOM = 0.85  # of the room: estimates are rough, and others use the machine too
_OWN = 600 * 2**20  # torch and the lab themselves


@dataclass(frozen=True)
class Estimate:
    """What a model needs, in bytes.

    adapters: factors, gradients and AdamW's state, and the factors of a round's clients; features:
    of the pictures that are in memory at once; row, row_checkpointed, row_tested: what each row of
    a pass adds, the further clients that come with it included; tower: a pass over new pictures,
    which no training waits beside.
    """

    weights: int
    adapters: int
    features: int
    row: int
    row_checkpointed: int
    row_tested: int
    tower: int = 0

    @property
    def fixed(self) -> int:
        """Bytes that are needed whatever the number of rows."""
        return self.weights + self.adapters + self.features + _OWN

    def needed(self, rows: int = 1) -> int:
        """Return the least bytes with which so many rows can be trained in one pass."""
        return self.fixed + max(self.tower, rows * self.row_checkpointed)

    def micro_batch(
        self, memory: int, micro_batch: int = 0, checkpointing: bool = False
    ) -> MicroBatch:
        """Return how to train with so much memory: ``micro_batch`` rows at a time, or what fits."""
        left = _HEADROOM * memory - self.fixed
        checkpointing = checkpointing or left < (micro_batch or 1) * self.row
        row = self.row_checkpointed if checkpointing else self.row
        train, eval_ = (
            micro_batch or int(max(1, min(MOST_ROWS, left // bytes_)))
            for bytes_ in (row, self.row_tested)
        )
        return MicroBatch(train, eval_, checkpointing)


@dataclass(frozen=True)
class ModelFacts:
    """A config's model for people: sizes in bytes; ``memory`` is what there is for it here."""

    family: str
    parameters: int
    bytes: int
    estimate: Estimate
    memory: int
    device: str
    dtype: str
    micro_batch: MicroBatch

    @property
    def fits(self) -> bool:
        """True when there is memory enough."""
        return self.estimate.needed(self.micro_batch.train) <= self.memory


def describe(config: ExperimentConfig, model: ResolvedModel) -> ModelFacts:
    """Return what a page may show of a config's model."""
    needs, memory = estimate(config, model), room(model.device, of_all=True)
    return ModelFacts(
        family=family_of(model.model_type).title,
        parameters=model.shape.parameters,
        bytes=needs.weights,
        estimate=needs,
        memory=memory,
        device=model.device,
        dtype=model.dtype,
        micro_batch=_micro_batch(config, needs, memory),
    )


def check_fits(config: ExperimentConfig, model: ResolvedModel) -> None:
    """Raise ConfigError when the model needs more memory than there is; the bundled one fits."""
    facts = describe(config, model)
    if config.model == BUNDLED or facts.fits:
        return
    needed = facts.estimate.needed(facts.micro_batch.train)
    raise ConfigError(
        f"model: {config.model} is too large for this machine: it needs about {_gb(needed)} of "
        f"memory, {_gb(facts.bytes)} of it for its weights, and there are {_gb(facts.memory)}; "
        f"what would help: {', '.join(_remedies(config, facts))}"
    )


def micro_batch(config: ExperimentConfig, model: ResolvedModel) -> MicroBatch:
    """Return how this process should train and test a config's model."""
    return _micro_batch(config, estimate(config, model), room(model.device))


def estimate(config: ExperimentConfig, model: ResolvedModel) -> Estimate:
    """Return what a config's model needs."""
    shape, tower = model.shape, model.tower
    width = 2 if model.dtype == "bfloat16" else _FLOAT32
    tokens = model.prompt_tokens + config.data.answer_tokens
    layer = _PER_NUMBER * tokens * (12 * shape.hidden + 5 * shape.inner)
    if shape.parameters < SMALL_MODEL:
        layer += 2 * _FLOAT32 * shape.heads * tokens**2
    logits = _LOGITS * (config.data.answer_tokens + 1) * shape.vocabulary
    input_ = tokens * shape.hidden * width  # of one layer
    kept, kept_checkpointed = shape.layers * layer, shape.layers * input_ + layer
    if config.lora.vision:
        seen = _PER_NUMBER * tower.patches * (12 * tower.hidden + 5 * tower.inner)
        kept += tower.layers * seen
        kept_checkpointed += tower.layers * tower.patches * tower.hidden * width + seen
    # Clients train together, a batch each: with every further batch comes a client's adapter and
    # its samples.
    two = any(config.rule(key).two_adapters for key in config.strategies)
    adapter = (1 + two) * model.adapter_numel(config.lora.rank)
    picture = 0 if config.lora.vision else model.prompt_tokens * shape.hidden * width
    share = (adapter * _ADAM + config.samples_per_client * picture) // config.batch_size
    # A set is made, or read and put beside others; on a GPU they wait in the machine's memory.
    largest = 2 * max(config.samples_per_client, config.data.test_samples) * picture
    pictures = config.samples_per_client + config.clients_tested * config.data.test_samples
    features = min(pictures * picture, _SETS) + largest
    return Estimate(
        weights=shape.parameters * width,
        adapters=adapter * (_ADAM + _ROUND * config.clients_per_round),
        features=0 if model.device == "cuda" else features,
        row=kept + logits + share,
        row_checkpointed=kept_checkpointed + logits + share,
        row_tested=2 * shape.layers * input_ + layer + logits,  # keys and values of every layer
        tower=_pictures_at_once(model) * _LOOKING * tower.patches * (tower.hidden + tower.inner),
    )


def _pictures_at_once(model: ResolvedModel) -> int:
    """Return how many pictures go through the tower in one pass; see vision_cache.py."""
    return 1 if model.causal else max(1, PASS_PIXELS // model.tower.pixels)


def _micro_batch(config: ExperimentConfig, needs: Estimate, memory: int) -> MicroBatch:
    if config.model == BUNDLED:  # it fits anywhere
        rows = config.micro_batch or MOST_ROWS
        return MicroBatch(rows, rows, config.checkpointing)
    return needs.micro_batch(memory, config.micro_batch, config.checkpointing)


def _remedies(config: ExperimentConfig, facts: ModelFacts) -> list[str]:
    remedies = ["a smaller model"]
    if facts.dtype != "bfloat16":
        remedies.append("dtype=bfloat16")
    if config.micro_batch > 1:
        remedies.append("a lower micro_batch")
    if facts.estimate.features > facts.bytes / 4:
        remedies.append("fewer samples_per_client, clients or data.test_samples")
    return remedies


def _gb(bytes_: int) -> str:
    return f"{bytes_ / 2**30:.1f} GB"
