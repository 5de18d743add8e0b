"""Distances between the clients of a federation, measured on their data, by kind of difference.

Each distance is a mean over pairs of the first eight clients, 0 where they are alike.
Jensen–Shannon divergences (Lin 1991, bits, 0 to 1) of samples are never quite 0 even for equal
distributions, so what remains after the samples are shuffled among the clients is subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np

from engine.config import ExperimentConfig
from engine.data.dataset import FederatedDataset
from engine.data.factory import new_dataset
from engine.data.synthetic import heterogeneity
from engine.system.seeding import rng

_CLIENTS = 8
_SHUFFLES = 5


def distance(config: ExperimentConfig) -> float:
    """Return the clients' distance by the config's kind; of ``mixed``, the mean of its three."""
    dataset = new_dataset(config)
    measures: dict[str, Callable[[], float]] = {
        "label": lambda: topic_distance(dataset),
        "natural": lambda: topic_distance(dataset),
        "task": lambda: family_distance(dataset),
        "concept": lambda: word_distance(dataset),
        "quantity": lambda: size_distance(dataset),
        "domain": lambda: camera_distance(dataset),
    }
    kind = config.heterogeneity.kind
    parts = heterogeneity.MIXED if kind == "mixed" else (kind,)
    return float(np.mean([measures[part]() for part in parts]))


def distances_without_pictures(dataset: FederatedDataset) -> dict[str, float]:
    """Return distances by what is compared, without rendering an image: at once, for a preview."""
    return {
        "answers": topic_distance(dataset),
        "words": word_distance(dataset),
        "questions": family_distance(dataset),
        "amounts": size_distance(dataset),
    }


def topic_distance(dataset: FederatedDataset) -> float:
    """Return the Jensen–Shannon divergence of the right answers, in neutral words."""
    return _divergence([dataset.topics(k) for k in _first(dataset)])


def family_distance(dataset: FederatedDataset) -> float:
    """Return the Jensen–Shannon divergence of the question families."""
    return _divergence(
        [[item.family for item in dataset.items(k, "train")] for k in _first(dataset)]
    )


def word_distance(dataset: FederatedDataset) -> float:
    """Return the divergence of the words for a thing, averaged over things as often as met.

    A client always says the same, so it is the share of answers for which two clients differ.
    """
    shares = dataset.topic_shares()
    spoken = [dataset.words(k) for k in _first(dataset)]
    return _over_pairs(
        spoken, lambda a, b: sum(p for topic, p in shares.items() if a.get(topic) != b.get(topic))
    )


def size_distance(dataset: FederatedDataset) -> float:
    """Return half the summed difference between the clients' shares and equal shares."""
    sizes = dataset.train_sizes()
    return float(np.abs(sizes / sizes.sum() - 1 / len(sizes)).sum() / 2)


def camera_distance(dataset: FederatedDataset, images: int = 64) -> float:
    """Return the root mean square difference of the clients' mean image features, 0 to 1."""
    features = [
        image_features(np.stack([e.image for e in dataset.examples(k, "train", images)]))
        for k in _first(dataset)
    ]

    def apart(groups: Sequence[np.ndarray]) -> float:
        means = [group.mean(0) for group in groups]
        return _over_pairs(means, lambda a, b: float(np.square(a - b).mean()))

    return float(np.sqrt(max(_above_chance(features, apart), 0)))


def image_features(images: np.ndarray) -> np.ndarray:
    """Return mean, contrast and mean edge of each colour channel: (n, h, w, 3) uint8 -> (n, 9)."""
    bright = images.astype(np.float32) / 255
    edges = np.abs(np.diff(bright, axis=1))
    return np.concatenate([bright.mean((1, 2)), bright.std((1, 2)), edges.mean((1, 2))], 1)


def _divergence(samples: list[list[str]]) -> float:
    values = sorted({value for own in samples for value in own})
    index = {value: number for number, value in enumerate(values)}

    def apart(groups: Sequence[np.ndarray]) -> float:
        shares = [np.bincount(group, minlength=len(values)) / len(group) for group in groups]
        return _over_pairs(shares, _jensen_shannon)

    return max(_above_chance([np.array([index[v] for v in own]) for own in samples], apart), 0.0)


def _above_chance(
    groups: list[np.ndarray], apart: Callable[[Sequence[np.ndarray]], float]
) -> float:
    """Return how far apart groups are, beyond what they are after their members were shuffled."""
    together = np.concatenate(groups)
    ends = np.cumsum([0, *map(len, groups)])
    generator = rng(0, "shuffles")
    chance = []
    for _ in range(_SHUFFLES):
        mixed = generator.permutation(together)
        chance.append(apart([mixed[a:b] for a, b in pairwise(ends)]))
    return apart(groups) - float(np.mean(chance))


def _jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    def entropy(x: np.ndarray) -> float:
        return float(-(x[x > 0] * np.log2(x[x > 0])).sum())

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def _over_pairs(items: Sequence, apart: Callable) -> float:
    gaps = [apart(a, b) for a, b in combinations(items, 2)]
    return float(np.mean(gaps)) if gaps else 0.0


def _first(dataset: FederatedDataset) -> range:
    return range(min(len(dataset), _CLIENTS))
