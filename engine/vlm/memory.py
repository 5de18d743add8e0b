"""How much memory an experiment's model needs, what there is, and how many rows fit in one pass.

In bytes, from the model's config and its tokenizer alone. Activations follow a rule of thumb: in
each layer a token costs 4 · (12 · hidden + 5 · inner) bytes. Torch keeps 2.8 times the bracket for
a Llama layer with LoRA on all of it, in float32 as in bfloat16 (factors and norms are float32 in
both); the rest is for what comes and goes. tests/unit/test_memory.py measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import BUNDLED, WORLD, ConfigError, ExperimentConfig
from engine.system.machine import room
from engine.vlm.adapter_size import adapter_size
from engine.vlm.checkpoint_files.checks import check_loadable
from engine.vlm.checkpoint_files.shape import Shape, bundled_shape
from engine.vlm.checkpoint_files.sources import place_of
from engine.vlm.families import family_of
from engine.vlm.limits import LONGEST_SIDE, MOST_ROWS, SMALL_MODEL, MicroBatch

_FLOAT32 = 4
_ADAM = 4 * _FLOAT32  # a trained number, its gradient and two running means
_PER_NUMBER = 4
_LOGITS = 4 * _FLOAT32  # as they come, as float32, as log-probabilities, their gradient
_HEADROOM = 0.85  # of the room: estimates are rough, and others use the machine too
_OWN = 600 * 2**20  # torch and the lab themselves
_WORLD_SIDE = 112  # pixels of the embedded world's pictures
_BUNDLED_TOKENS = 32  # of a picture and a question of that world


@dataclass(frozen=True)
class Estimate:
    """What a model needs, in bytes.

    adapters: factors, gradients and AdamW's state; features: of the pictures that are in memory at
    once; row, row_checkpointed, row_tested: what each row of a pass adds.
    """

    weights: int
    adapters: int
    features: int
    row: int
    row_checkpointed: int
    row_tested: int

    @property
    def fixed(self) -> int:
        """What is needed whatever the number of rows."""
        return self.weights + self.adapters + self.features + _OWN

    def needed(self, rows: int = 1) -> int:
        """The least with which so many rows can be trained in one pass."""
        return self.fixed + rows * self.row_checkpointed

    def micro_batch(
        self, memory: int, micro_batch: int = 0, checkpointing: bool = False
    ) -> MicroBatch:
        """How to train with so much memory: ``micro_batch`` rows at a time, or what fits."""
        left = _HEADROOM * memory - self.fixed
        checkpointing = checkpointing or left < (micro_batch or 1) * self.row
        row = self.row_checkpointed if checkpointing else self.row
        trained, tested = (
            micro_batch or int(max(1, min(MOST_ROWS, left // each)))
            for each in (row, self.row_tested)
        )
        return MicroBatch(trained, tested, checkpointing)


@dataclass(frozen=True)
class ModelFacts:
    """A config's model for people: sizes in bytes; ``memory`` is what this machine could give it.

    ``device`` may be "auto" for the bundled model: only torch can tell, and is not asked.
    """

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
        """Whether there is memory enough."""
        return self.estimate.needed(self.micro_batch.train) <= self.memory


def describe(config: ExperimentConfig) -> ModelFacts:
    """What a page may show of a config's model. Raises ConfigError when it cannot be used.

    All but the memory is kept, so that a second call costs next to nothing.
    """
    if config.model != BUNDLED:
        check_loadable(config)
    device, dtype = _device_and_dtype(config)
    found, memory = estimate(config), room(device, of_all=True)
    return ModelFacts(
        family=family_of(_shape(config).model_type).title,
        parameters=_shape(config).parameters,
        bytes=found.weights,
        estimate=found,
        memory=memory,
        device=device,
        dtype=dtype,
        micro_batch=_micro_batch(config, found, memory),
    )


def check_fits(config: ExperimentConfig) -> None:
    """Raise ConfigError when the model cannot be used, or needs more memory than there is."""
    facts = describe(config)
    if facts.fits:
        return
    needed = facts.estimate.needed(facts.micro_batch.train)
    raise ConfigError(
        f"model: {config.model} is too large for this machine: it needs about {_gb(needed)} of "
        f"memory, {_gb(facts.bytes)} of it for its weights, and there are {_gb(facts.memory)}; "
        f"what would help: {', '.join(_remedies(config, facts))}"
    )


def micro_batch(config: ExperimentConfig) -> MicroBatch:
    """How this process should train and test a config's model; the bundled one fits anywhere."""
    if config.model == BUNDLED:
        rows = config.micro_batch or MOST_ROWS
        return MicroBatch(rows, rows, config.checkpointing)
    return _micro_batch(config, estimate(config), room(_device_and_dtype(config)[0]))


def estimate(config: ExperimentConfig) -> Estimate:
    """What a config's model needs. Raises what transformers raises where it cannot be built."""
    shape, size = _shape(config), adapter_size(config)
    device, dtype = _device_and_dtype(config)
    width = 2 if dtype == "bfloat16" else _FLOAT32
    prompt = _prompt_tokens(config)
    tokens = prompt + config.data.answer_tokens
    layer = _PER_NUMBER * tokens * (12 * shape.hidden + 5 * shape.inner)
    if shape.parameters < SMALL_MODEL:
        layer += 2 * _FLOAT32 * shape.heads * tokens**2
    logits = _LOGITS * (config.data.answer_tokens + 1) * shape.vocabulary
    input_ = tokens * shape.hidden * width  # of one layer
    # A client's training set, and the tests of all; beside a GPU they wait in the machine's memory.
    pictures = config.samples_per_client + config.clients_tested * config.data.test_samples
    return Estimate(
        weights=shape.parameters * width,
        adapters=(size.a + size.b) * _ADAM,
        features=0 if device == "cuda" else pictures * prompt * shape.hidden * width,
        row=shape.layers * layer + logits,
        row_checkpointed=shape.layers * input_ + layer + logits,
        row_tested=2 * shape.layers * input_ + layer + logits,  # keys and values of every layer
    )


def _micro_batch(config: ExperimentConfig, found: Estimate, memory: int) -> MicroBatch:
    if config.model == BUNDLED:
        return micro_batch(config)
    return found.micro_batch(memory, config.micro_batch, config.checkpointing)


def _shape(config: ExperimentConfig) -> Shape:
    if config.model == BUNDLED:
        return bundled_shape()
    from engine.vlm.checkpoint_files.skeleton import shape_of

    return shape_of(place_of(config.model))


def _device_and_dtype(config: ExperimentConfig) -> tuple[str, str]:
    if config.model == BUNDLED:
        return config.device, config.dtype.replace("auto", "float32")
    from engine.vlm.loading import device_of, dtype_of

    device = device_of(config)
    return device, str(dtype_of(config, device)).removeprefix("torch.")


def _prompt_tokens(config: ExperimentConfig) -> int:
    if config.model == BUNDLED:
        return _BUNDLED_TOKENS
    from engine.vlm.checkpoint_files.skeleton import prompt_tokens

    side = _WORLD_SIDE if config.dataset == WORLD else LONGEST_SIDE
    return prompt_tokens(place_of(config.model), side)


def _remedies(config: ExperimentConfig, facts: ModelFacts) -> list[str]:
    found = ["a smaller model"]
    if facts.dtype != "bfloat16":
        found.append("dtype=bfloat16")
    if config.micro_batch > 1:
        found.append("a lower micro_batch")
    if facts.estimate.features > facts.bytes / 4:
        found.append("fewer samples_per_client, clients or data.test_samples")
    return found


def _gb(bytes_: int) -> str:
    return f"{bytes_ / 2**30:.1f} GB"
