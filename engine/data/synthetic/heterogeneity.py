"""One dial, seven meanings: what sets client k apart at level L.

For every kind, L is the share of what a client holds that is its own; the rest is what all clients
have in common. So 0 is exactly iid, 1 means nothing in common, and distances between clients grow
steadily in between (``python -m engine bench world`` measures them).

=========  ===========================================================================
domain     pictures are blended with what the client's own camera shows, at strength L
concept    a share L of the words for colours, kinds and places is permuted (words.py)
label      answers come from (1-L)·natural + L·own mix, own ~ Dirichlet(0.1·n·natural)
quantity   training sets have the sizes (1-L)·equal + L·own, own ~ Dirichlet(0.5)
task       a share L of the questions is of the client's own family
natural    a share L of the pictures shows the client's own inventory: few kinds, colours
mixed      domain and concept at L, label at L/2, so that no client loses a whole family
=========  ===========================================================================

Dirichlet mixes after Hsu et al., arXiv 1909.06335.

This is how the embedded world does it; partition.py deals data that people bring by the same dial.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np

from engine.config import ExperimentConfig, HeterogeneityKind
from engine.data.synthetic.cameras import CAMERAS
from engine.data.synthetic.questions import FAMILIES, ask, topics
from engine.data.synthetic.scenes import COLOUR_NAMES, KINDS, sample_scenes
from engine.data.synthetic.words import client_words
from engine.system.seeding import rng

# For people: a short name, and what the dial then does.
MEANINGS: dict[HeterogeneityKind, tuple[str, str]] = {
    "mixed": ("a bit of all", "Each site has its own camera, its own words and its own answers."),
    "concept": ("words", "What one site calls a drum, another calls a crate."),
    "domain": ("cameras", "Each site looks through its own camera."),
    "label": ("answers", "Each site meets some answers far more often than others."),
    "task": ("questions", "Each site mostly asks its own kind of question."),
    "quantity": ("amounts", "Some sites have many training samples, some few."),
    "natural": ("inventory", "Each site's bins hold its own inventory: a few kinds and colours."),
}
MIXED = {"domain": 1.0, "concept": 1.0, "label": 0.5}  # what acts in ``mixed``, how strongly
LABEL_ALPHA = 0.1
QUANTITY_ALPHA = 0.5
_INVENTORY = 3  # kinds, and as many colours, that a client has in its own inventory
SMALLEST = 8  # training samples that every client has at least


def level_of(config: ExperimentConfig, part: str) -> float:
    """Return how strongly one kind of difference acts; ``mixed`` is made of three."""
    kind, level = config.heterogeneity.kind, config.heterogeneity.level
    if kind == "mixed":
        return level * MIXED.get(part, 0.0)
    return level if kind == part else 0.0


def camera_of(config: ExperimentConfig, client: int) -> tuple[str, float]:
    """Return the client's camera and its strength."""
    strength = level_of(config, "domain")
    return (tuple(CAMERAS)[client % len(CAMERAS)] if strength else "day"), strength


def words_of(config: ExperimentConfig, client: int) -> dict[str, str]:
    """Map neutral answers to the words that the client uses."""
    return client_words(config.seed, client, level_of(config, "concept"))


def inventory_of(seed: int, client: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the client's own shares of KINDS and of COLOUR_NAMES."""
    start = int(rng(seed, "stock").integers(len(KINDS)))
    own = np.zeros(len(KINDS)), np.zeros(len(COLOUR_NAMES))
    for shares, stride in zip(own, (1, 3), strict=True):
        shares[(start + stride * client + np.arange(_INVENTORY)) % len(shares)] = 1 / _INVENTORY
    return own


def train_sizes(config: ExperimentConfig) -> np.ndarray:
    """Count training samples of every client, (clients,): ``samples_per_client`` on average."""
    n, level = config.clients, level_of(config, "quantity")
    if level == 0:
        return np.full(n, config.samples_per_client)
    own = rng(config.seed, "sizes").dirichlet(np.full(n, QUANTITY_ALPHA))
    shares = (1 - level) / n + level * own
    spare = max(config.samples_per_client - SMALLEST, 0) * n
    return SMALLEST + np.round(spare * shares).astype(int)


def answer_odds(config: ExperimentConfig, client: int) -> dict[str, float] | None:
    """Return how much more often than naturally the client meets each topic; None without skew."""
    level = level_of(config, "label")
    if level == 0:
        return None
    natural = np.array(list(natural_shares(config.fault_share).values()))
    alpha = LABEL_ALPHA * len(natural) * natural
    own = rng(config.seed, "labels", client).dirichlet(alpha)
    shares = (1 - level) * natural + level * own
    return dict(zip(topics(), shares / natural, strict=True))


@lru_cache(maxsize=4)
def natural_shares(fault_share: float) -> dict[str, float]:
    """Return the share of each topic in the world without skew, from 4,000 draws."""
    generator = rng(0, "natural shares")
    scenes = sample_scenes(4000, generator)
    of_faults = rng(0, "natural shares", "faults").random(len(scenes)) < fault_share
    families = np.where(of_faults, len(FAMILIES), -1)
    counts = Counter(topics())  # none is quite impossible
    counts.update(question.topic for question in ask(scenes, generator, families))
    return {topic: counts[topic] / counts.total() for topic in topics()}
