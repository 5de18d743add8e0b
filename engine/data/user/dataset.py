"""The clients of data that people bring: dealt by partition.py, seen and said as each client does.

Cameras are those of the embedded world. Words: the commonest short answers form a circle, of which
an arc is permuted, as in words.py; so no picture needs to be known to make clients disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from engine.config import ConfigError, ExperimentConfig, Heterogeneity
from engine.data.account import Account, Problem
from engine.data.dataset import ClientProfile, Example, FederatedDataset, Item, code_version
from engine.data.pictures import BadPicture, read_picture, shrink
from engine.data.resolved import ResolvedData, digest
from engine.data.synthetic.cameras import look_through
from engine.data.synthetic.heterogeneity import camera_of, level_of
from engine.data.synthetic.words import permute
from engine.data.user.checking import digest_of
from engine.data.user.collection import Collection, Row
from engine.data.user.partition import Share, kind_of, partition
from engine.metrics import normalised
from engine.system.seeding import rng

_CIRCLE = 12  # answers that may be permuted


class UserDataset(FederatedDataset):
    """Clients of a collection; pictures are read from disk only when somebody looks at them."""

    def __init__(self, collection: Collection, config: ExperimentConfig) -> None:
        """Deal the rows; raises ConfigError where they cannot be dealt as the config wants it."""
        super().__init__(config)
        self.collection = collection
        self.shares = partition(collection, config)
        self._circle = circle_of(collection.rows)

    def texts(self) -> Iterator[str]:
        """Yield what is asked and answered in all rows."""
        for row in self.collection.rows:
            yield from (row.question, *row.answers)

    @property
    def account(self) -> Account:
        """Return how many rows are used, what is wrong with others, what tests cannot show."""
        return self.collection.account.noting(self._trained_and_tested())

    def _trained_and_tested(self) -> Problem | None:
        """Return the test rows whose picture somebody trains on; None where there are none."""
        rows = self.collection.rows
        trained = {rows[i].picture_key for share in self.shares for i in share.train}
        tests = [rows[i] for share in self.shares for i in share.test]
        known = [row for row in tests if row.picture_key in trained]
        kind = "test question about a picture that is trained on, too"
        return Problem(kind, len(known), known[0].where, left_out=False) if known else None

    def examples(self, k: int, split: str, n: int | None = None) -> tuple[Example, ...]:
        """Return examples as in the base class, not kept: photos are large, and soon read again."""
        return self.render(k, split, n)

    def example(self, k: int, split: str, number: int) -> Example:
        """Return one example; no other picture is read."""
        item, row = self.items(k, split)[number], self._rows(k, split)[number]
        return Example(**vars(item), image=self._look_at(row, k))

    def render(self, k: int, split: str, n: int | None = None) -> tuple[Example, ...]:
        """Read what ``examples`` returns. Questions about one picture share one array.

        Raises ConfigError where a picture cannot be read.
        """
        seen: dict[str, np.ndarray] = {}
        examples = []
        for item, row in zip(self.items(k, split)[:n], self._rows(k, split), strict=False):
            if row.picture_key not in seen:
                seen[row.picture_key] = self._look_at(row, k)
            examples.append(Example(**vars(item), image=seen[row.picture_key]))
        return tuple(examples)

    def items(self, k: int, split: str) -> list[Item]:
        """Return what ``examples`` has, without the images; answers are in the client's words."""
        words, items = self.words(k), []
        for i, row in enumerate(self._rows(k, split)):
            answers = _said(row, words)
            name, family = f"{k}-{split}-{i}", kind_of(row.question)
            items.append(Item(name, row.question, answers[0], family, answers))
        return items

    def accepted_by(self, client: int, k: int, split: str, number: int) -> tuple[str, ...]:
        """Return the row's answers in the client's words."""
        return _said(self._rows(k, split)[number], self.words(client))

    def resolve(self) -> ResolvedData:
        """Say what the rows are, whoever gets them."""
        rows = self.collection.rows
        return ResolvedData(
            place=str(self.collection.folder),
            rows=len(rows),
            pictures=digest(row.picture_key for row in rows),
            questions=digest(row.question for row in rows),
            answers=digest(row.answers for row in rows),
            clients=digest(row.client for row in rows),
            splits=digest(row.split for row in rows),
        )

    def key(self, k: int, split: str) -> str:
        """Return a name for the content of ``train``, ``test`` or all clients' ``pooled``.

        It names what the content is made of, so that no key of the config can be forgotten; all
        rows among it, since the bundled model's vocabulary is made from them.
        """
        made_from = [code_version(), self.collection.digest, self.config.seed, k, split]
        parts = [(k, split)]
        if split == "pooled":
            parts = [(client, "test") for client in range(len(self))]
        for client, part in parts:
            rows = self._rows(client, part)
            made_from += [[(row.picture_key, row.question, row.answers) for row in rows]]
            made_from += [camera_of(self.config, client)]
            made_from += [sorted(self.words(client).items())]
        return blake2b(repr(made_from).encode(), digest_size=16).hexdigest()

    def profile(self, k: int) -> ClientProfile:
        """Return a summary of client k for tables and previews; reads no picture."""
        items = self.items(k, "train")
        return ClientProfile(
            client=k,
            camera=camera_of(self.config, k)[0],
            words=self.words(k),
            train_samples=len(items),
            test_samples=len(self._share(k).test),
            answers=dict(Counter(item.answer for item in items).most_common()),
            families=dict(Counter(item.family for item in items)),
            name=self._share(k).name,
        )

    def topics(self, k: int) -> list[str]:
        """Return the right answers of client k's training set, normalised, not permuted."""
        return [normalised(row.answers[0]) for row in self._rows(k, "train")]

    def words(self, k: int) -> dict[str, str]:
        """Map normalised answers to what client k says instead, where that is something else."""
        level = level_of(self.config, "concept")
        permuted = permute("answers", self._circle, self.config.seed, k, level)
        return {normalised(word): new for word, new in permuted.items() if new != word}

    def topic_shares(self) -> dict[str, float]:
        """Return how often each normalised answer is right, in all of the data."""
        counts = Counter(normalised(row.answers[0]) for row in self.collection.rows)
        return {topic: count / counts.total() for topic, count in counts.items()}

    def train_sizes(self) -> np.ndarray:
        """Count the training samples of every client, (clients,)."""
        return np.array([len(share.train) for share in self.shares])

    def _numbers(self, k: int, split: str) -> tuple[int, ...]:
        share = self._share(k)
        return share.train if split == "train" else share.test

    def _share(self, k: int) -> Share:
        self._check(k)
        return self.shares[k]

    def _rows(self, k: int, split: str) -> list[Row]:
        return [self.collection.rows[number] for number in self._numbers(k, split)]

    def _look_at(self, row: Row, k: int) -> np.ndarray:
        """Return a picture, (height, width, 3) uint8, as client k's camera shows it."""
        name = row.picture.name
        try:
            data = row.picture.read_bytes()
            if row.content and digest_of(data) != row.content:
                raise ConfigError(f"dataset: the picture {name} has changed since it was checked")
            image = shrink(read_picture(data))
        except (OSError, BadPicture) as error:
            raise ConfigError(f"dataset: the picture {name} cannot be read; {error}") from None
        camera, strength = camera_of(self.config, k)
        noise = rng(self.config.seed, "camera", k, row.picture_key)
        return look_through(camera, image[None], strength, noise)[0]


class SiteDataset(UserDataset):
    """All rows of one client's own data, whatever its number is among the others."""

    def __init__(self, collection: Collection, config: ExperimentConfig) -> None:
        """Take all rows; raises ConfigError where they are too few to train and to test."""
        alone = {"clients": 1, "heterogeneity": Heterogeneity(level=0)}
        super().__init__(collection, config.model_copy(update=alone))

    @property
    def stays(self) -> bool:
        """Say that answers stay with the client."""
        return True

    def _share(self, k: int) -> Share:
        return self.shares[0]


def circle_of(rows: Sequence[Row]) -> list[str]:
    """Return the commonest answers of one or two words, at most 12, each as it is mostly spelled.

    Answers to the same kind of question are neighbours, so that swaps make sense.
    """
    spellings: dict[str, Counter[str]] = {}
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        plain = normalised(row.answers[0])
        if 1 <= len(plain.split()) <= 2:
            spellings.setdefault(plain, Counter())[row.answers[0]] += 1
            kinds.setdefault(plain, Counter())[kind_of(row.question)] += 1
    commonest = sorted(spellings, key=lambda plain: (-spellings[plain].total(), plain))[:_CIRCLE]
    commonest.sort(key=lambda plain: (_most(kinds[plain]), plain))
    return [_most(spellings[plain]) for plain in commonest]


def _most(counts: Counter[str]) -> str:
    """Return the commonest value, the first by name of equally common ones."""
    return min(counts, key=lambda value: (-counts[value], value))


def _said(row: Row, words: dict[str, str]) -> tuple[str, ...]:
    return tuple(words.get(normalised(answer), answer) for answer in row.answers)
