import hashlib
from typing import get_args

import numpy as np
import pytest

from engine.config import ExperimentConfig, HeterogeneityKind
from engine.data.dataset import Example
from engine.data.distance import distance
from engine.data.synthetic import heterogeneity
from engine.data.synthetic import world as federation_module
from engine.data.synthetic.words import BASE_VOCABULARY
from engine.data.synthetic.world import SyntheticDataset

KINDS = get_args(HeterogeneityKind)


def config(kind="mixed", level=0.8, **values) -> ExperimentConfig:
    return ExperimentConfig.parse({"heterogeneity": {"kind": kind, "level": level}, **values})


def dataset(kind="mixed", level=0.8, **values) -> SyntheticDataset:
    return SyntheticDataset(config(kind, level, **values))


def fingerprints(examples: tuple[Example, ...]) -> set[str]:
    return {hashlib.sha1(example.image.tobytes()).hexdigest() for example in examples}


def test_the_same_seed_gives_the_same_data_and_another_seed_does_not():
    first, again, other = dataset(), dataset(), dataset(seed=1)
    for one, two, three in zip(
        first.examples(2, "train"),
        again.examples(2, "train"),
        other.examples(2, "train"),
        strict=True,
    ):
        assert one.question == two.question and one.answer == two.answer
        assert (one.image == two.image).all()
        assert (one.image != three.image).any()


def test_train_test_and_clients_never_share_a_picture():
    data = dataset("concept", 1.0, clients=3)
    sets = [fingerprints(data.examples(k, split)) for k in range(3) for split in ("train", "test")]
    assert len(set.union(*sets)) == sum(map(len, sets)) == 3 * (256 + 48)


def test_the_first_examples_are_those_of_the_whole_set():
    data = dataset(level=1.0)
    for k in range(4):
        for one, two in zip(data.examples(k, "test", 5), data.examples(k, "test"), strict=False):
            assert one.item == two.item and one.answer == two.answer
            assert (one.image == two.image).all()


@pytest.mark.parametrize("kind", KINDS)
def test_level_zero_is_exactly_iid(kind):
    flat, neutral = dataset(kind, 0.0, clients=3), dataset("concept", 0.0, clients=3)
    for k in range(3):
        profile = flat.profile(k)
        assert profile.camera == "day" and profile.words == {} and profile.train_samples == 256
        # The same draw as without any heterogeneity: level 0 changes nothing at all.
        for one, two in zip(flat.examples(k, "test"), neutral.examples(k, "test"), strict=True):
            assert one.answer == two.answer and (one.image == two.image).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("seed", "levels"),
    [(0, (0, 0.5, 1)), pytest.param(7, (0, 0.25, 0.5, 0.75, 1), marks=pytest.mark.slow)],
)
def test_clients_move_apart_as_the_dial_turns(kind, seed, levels):
    values = {"clients": 6, "samples_per_client": 512, "seed": seed}
    found = [distance(config(kind, level, **values)) for level in levels]
    assert found[0] < 0.02
    assert all(near < far for near, far in zip(found, found[1:], strict=False))


@pytest.mark.parametrize("kind", KINDS)
def test_every_client_has_its_samples_however_skewed(kind):
    data = dataset(kind, 1.0, samples_per_client=64, clients=12)
    sizes = [data.profile(k).train_samples for k in range(12)]
    assert sizes == [len(data.items(k, "train")) for k in range(12)]
    assert len(data.examples(3, "train")) == sizes[3]
    assert min(sizes) >= heterogeneity.SMALLEST
    assert abs(np.mean(sizes) - 64) < 1
    assert (len(set(sizes)) > 6) == (kind == "quantity")
    assert {len(data.items(k, "test")) for k in range(12)} == {48}


def test_a_task_client_mostly_asks_its_own_family():
    data = dataset("task", 1.0, clients=9)
    most = [max(p.families, key=p.families.get) for p in map(data.profile, range(9))]
    assert len(set(most)) == 9


def test_a_natural_client_sees_its_own_inventory():
    common, own = dataset("natural", 0.0), dataset("natural", 1.0)
    for k in range(4):
        kinds = {
            level: {q.topic for q in data.outline(k, "train").questions if q.family == "kind"}
            for level, data in ((0, common), (1, own))
        }
        assert len(kinds[1]) <= 3 < len(kinds[0])


def test_one_picture_and_question_has_different_answers_at_different_sites():
    answers = {heterogeneity.words_of(config("concept", 1.0), k)["red"] for k in range(8)}
    assert len(answers) == 8
    assert heterogeneity.words_of(config("concept", 0.0), 5) == BASE_VOCABULARY


def test_pooled_test_holds_the_same_number_of_every_client():
    pooled = dataset().pooled_test()
    owners = [example.item.split("-")[0] for example in pooled]
    assert {owners.count(str(k)) for k in range(4)} == {16}


def test_a_client_that_does_not_exist_is_refused():
    with pytest.raises(IndexError, match="0 to 3"):
        dataset().examples(4, "test")


def test_what_another_process_paints_is_what_this_one_paints(tiny, monkeypatch):
    config = tiny.model_copy(update={"seed": 5})
    one_federation, same = SyntheticDataset(config), SyntheticDataset(config)
    one_federation.prefetch([(0, "test"), (1, "train")])
    rendered = [one_federation.rendered(0, "test"), one_federation.rendered(1, "train")]
    assert federation_module._renderer._process.poll() is None
    for found, wanted in zip(
        rendered, (same.render(0, "test"), same.render(1, "train")), strict=True
    ):
        assert [vars(e).keys() for e in found] == [vars(e).keys() for e in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert (one.item, one.question, one.answer) == (
                other.item,
                other.question,
                other.answer,
            )
            assert np.array_equal(one.image, other.image)


def test_a_renderer_that_dies_costs_nothing_but_time(tiny):
    one_federation = SyntheticDataset(tiny.model_copy(update={"seed": 6}))
    one_federation.prefetch([(0, "test")])
    one_federation.rendered(0, "test")
    process = federation_module._renderer._process
    process.kill()
    process.wait()
    one_federation.prefetch([(1, "test"), (0, "test")])
    assert len(one_federation.rendered(1, "test")) == len(one_federation.rendered(0, "test")) == 48
    assert federation_module._renderer._process.pid != process.pid, "and a new one has come"
