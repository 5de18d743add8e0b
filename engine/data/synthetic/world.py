"""The clients' pictures, questions and answers, made from the config and the seed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from engine.config import ExperimentConfig
from engine.data.dataset import ClientProfile, Example, FederatedDataset, Item, code_version
from engine.data.resolved import ResolvedData, digest
from engine.data.synthetic import heterogeneity
from engine.data.synthetic.cameras import look_through
from engine.data.synthetic.questions import FAMILIES, Question, ask
from engine.data.synthetic.renderer import Renderer
from engine.data.synthetic.scenes import Scenes, render, sample_scenes
from engine.data.synthetic.words import BASE_VOCABULARY, say
from engine.system.seeding import rng

# The keys of a config that the data are made from.
MADE_FROM = ("dataset", "clients", "fault_share", "samples_per_client", "heterogeneity", "seed")
_CANDIDATES = 6  # per sample, so that a skewed answer mix can be drawn without repeats


@dataclass(frozen=True)
class Outline:
    """Scenes and questions of one split, not rendered yet: all that tables and previews need."""

    scenes: Scenes
    questions: list[Question]


class SyntheticDataset(FederatedDataset):
    """The embedded world (heterogeneity.py says how its clients differ).

    Data are made on demand, pictures only where somebody looks at them; a few clients stay in
    memory.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__(config)
        self._prefetched: dict[tuple[int, str], Future[tuple[Example, ...]]] = {}

    @property
    def free_form(self) -> bool:
        """Return False: there is one way to say each answer."""
        return False

    def items(self, k: int, split: str) -> list[Item]:
        """Return what ``examples`` has, without rendering the pictures."""
        questions = self.outline(k, split).questions
        words = self.words(k)
        return [
            Item(f"{k}-{split}-{i}", q.text, say(q.answer, words), q.family)
            for i, q in enumerate(questions)
        ]

    def accepted_by(self, client: int, k: int, split: str, number: int) -> tuple[str, ...]:
        """Return the one right answer in the client's words."""
        return (say(self.outline(k, split).questions[number].answer, self.words(client)),)

    def resolve(self) -> ResolvedData:
        """Say what is drawn, by the first client's tests and the first of their pictures."""
        items = self.items(0, "test")
        [example] = self.render(0, "test", 1)
        return ResolvedData(
            place=self.config.dataset,
            rows=len(items),
            pictures=digest([example.image.tobytes()]),
            questions=digest(item.question for item in items),
            answers=digest(item.answer for item in items),
        )

    def key(self, k: int, split: str) -> str:
        """Return a name for the content: what is the same under another config has the same key."""
        made_from = self.config.model_dump_json(include=set(MADE_FROM))
        words = (
            f"{code_version()} {made_from} {self.config.data.test_samples} {k} {self._drawn(split)}"
        )
        return blake2b(words.encode(), digest_size=16).hexdigest()

    def profile(self, k: int) -> ClientProfile:
        """Return a summary of client k for tables and previews; render nothing."""
        self._check(k)
        words = self.words(k)
        questions = self.outline(k, "train").questions
        answers = Counter(say(question.answer, words) for question in questions)
        return ClientProfile(
            client=k,
            camera=heterogeneity.camera_of(self.config, k)[0],
            words={n: word for n, word in words.items() if BASE_VOCABULARY.get(n, n) != word},
            train_samples=len(questions),
            test_samples=self.config.data.test_samples,
            answers=dict(answers.most_common()),
            families=dict(Counter(question.family for question in questions)),
        )

    def topics(self, k: int) -> list[str]:
        """Return the right answers of client k's training set, in neutral words."""
        return [question.topic for question in self.outline(k, "train").questions]

    def words(self, k: int) -> dict[str, str]:
        """Map neutral answers to the words that client k uses."""
        return heterogeneity.words_of(self.config, k)

    def topic_shares(self) -> dict[str, float]:
        """Return how often each topic is met in the world without skew."""
        return heterogeneity.natural_shares(self.config.fault_share)

    def train_sizes(self) -> np.ndarray:
        """Count the training samples of every client, (clients,)."""
        return heterogeneity.train_sizes(self.config)

    def outline(self, k: int, split: str) -> Outline:
        """Return scenes and questions of client k's ``train`` or ``test`` set; raise IndexError."""
        self._check(k)
        config = self.config
        n = config.data.test_samples
        if split == "train":
            n = int(self.train_sizes()[k])
        odds = heterogeneity.answer_odds(config, k)
        pool = _candidates(
            (config.seed, k, self._drawn(split)),
            n * (_CANDIDATES if odds else 1),
            heterogeneity.level_of(config, "task"),
            heterogeneity.level_of(config, "natural"),
            config.fault_share,
        )
        if not odds:
            return pool
        # The floor keeps enough candidates possible when one answer has all the weight.
        weights = 1e-4 + np.array([odds[question.topic] for question in pool.questions])
        generator = rng(config.seed, "skew", self._drawn(split), k)
        rows = generator.choice(len(weights), n, replace=False, p=weights / weights.sum())
        return Outline(pool.scenes.select(rows), [pool.questions[row] for row in rows])

    def _drawn(self, split: str) -> str:
        """Return what is drawn as this split: a validation set may stand in for the test set."""
        if split == "train" or self.config.tested_on == "test":
            return split
        return f"{self.config.tested_on} {split}"

    def render(self, k: int, split: str, n: int | None = None) -> tuple[Example, ...]:
        """Make what ``examples`` returns, not kept."""
        return self._with_items(k, split, self.pictures(k, split, n))

    def pictures(self, k: int, split: str, n: int | None = None) -> np.ndarray:
        """Render the pictures of ``examples``, (n, height, width, 3) uint8."""
        scenes = self.outline(k, split).scenes
        camera, strength = heterogeneity.camera_of(self.config, k)
        noise = rng(self.config.seed, "camera", self._drawn(split), k)
        clean = render(scenes.select(np.arange(len(scenes))[:n]))
        return look_through(camera, clean, strength, noise)

    def prefetch(self, keys: Iterable[tuple[int, str]]) -> None:
        """Start to render these sets in another process; ``rendered`` fetches them."""
        for key in keys:
            if key not in self._prefetched:
                self._prefetched[key] = _prefetching().submit(self._render_elsewhere, *key)

    def rendered(self, k: int, split: str) -> tuple[Example, ...]:
        """Return a set that was prefetched, or render it now; not kept."""
        future = self._prefetched.pop((k, split), None)
        return future.result() if future else self.render(k, split)

    def _render_elsewhere(self, k: int, split: str) -> tuple[Example, ...]:
        images = _renderer.render(self.config, k, split)
        return self.render(k, split) if images is None else self._with_items(k, split, images)

    def _with_items(self, k: int, split: str, images: np.ndarray) -> tuple[Example, ...]:
        items = self.items(k, split)
        pairs = zip(items[: len(images)], images, strict=True)
        return tuple(Example(**vars(item), image=image) for item, image in pairs)

    def is_prefetching(self) -> bool:
        """Say whether the background is at work."""
        return not all(future.done() for future in self._prefetched.values())


_renderer = Renderer()


@lru_cache(maxsize=1)
def _prefetching() -> ThreadPoolExecutor:
    """Return the thread that waits for the renderer."""
    return ThreadPoolExecutor(1, thread_name_prefix="renderer")


@lru_cache(maxsize=64)
def _candidates(
    scope: tuple[int, int, str],
    n: int,
    task_level: float,
    inventory_level: float,
    fault_share: float,
) -> Outline:
    """``n`` scenes with a question each, for (seed, client, split); kept, for the dial moves on."""
    seed, client, split = scope
    generator = rng(seed, "client", split, client)
    scenes = sample_scenes(n, generator)
    if inventory_level:
        kinds, colours = heterogeneity.inventory_of(seed, client)
        generator_own = rng(seed, "stock scenes", split, client)
        own = sample_scenes(n, generator_own, kinds=kinds, colours=colours)
        scenes = scenes.replaced(generator_own.random(n) < inventory_level, own)
    mine = rng(seed, "task", split, client).random(n) < task_level
    families = np.where(mine, client % len(FAMILIES), -1)
    of_faults = rng(seed, "faults", split, client).random(n) < fault_share
    families[of_faults & ~mine] = len(FAMILIES)  # they are of what all have in common
    return Outline(scenes, ask(scenes, generator, families))
