import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.adapters.adapter import A, B
from engine.bench.world import neutral_accuracy
from engine.config import Lora
from engine.data import cache, cache_files
from engine.data.cache import EncodedSets
from engine.data.cache_files import encoded_path
from engine.data.synthetic.questions import FAMILIES
from engine.data.synthetic.scenes import render, sample_scenes
from engine.data.synthetic.world import SyntheticDataset
from engine.fl.context import context_of
from engine.fl.evaluation import Task, answer, generate, score_teacher_forced
from engine.fl.traffic import traffic_of
from engine.paths import BUNDLED_MODEL
from engine.pretraining.miniature import build_processor
from engine.pretraining.pretrain import pretrain
from engine.pretraining.recipe import Recipe, pixel_values, shrink
from engine.strategies import STRATEGIES
from engine.system.files import file_state
from engine.system.seeding import rng
from engine.vlm.loading import load_from
from engine.vlm.lora import initial_factors
from engine.vlm.resolved import resolve_model
from engine.vlm.vision_cache import Features, VisionCache
from tests.helpers.checkpoints import save_checkpoint


def sets_of(config, **model) -> EncodedSets:
    """The sets of a config, new ones, for the process's model; ``model``: resolved differently."""
    resolved = replace(resolve_model(config), **model)
    return EncodedSets(context_of(config).vlm, SyntheticDataset(config), resolved)


def test_cached_features_give_the_same_logits_as_pixels(tiny):
    context = context_of(tiny)
    examples = context.dataset.examples(0, "test")[:6]
    encoded = context.sets.encode(examples)
    inputs = {**context.vlm.inputs(encoded), "labels": encoded.labels}
    pixels = context.vlm.processor.image_processor([e.image for e in examples], return_tensors="pt")
    with torch.no_grad():
        cached = context.vlm.answer_logits(encoded)
        plain = context.vlm.model(**{**inputs, "pixel_values": pixels["pixel_values"]}).logits
    torch.testing.assert_close(cached, plain, atol=1e-5, rtol=1e-4)


def test_a_picture_goes_through_the_tower_once_in_the_life_of_a_home(tiny, monkeypatch):
    made = sets_of(tiny)
    first, pooled = made.get(1, "train"), made.pooled()
    assert made.get(1, "train") is first

    def fail(*_):
        raise AssertionError("painted or encoded again")

    again = sets_of(tiny.model_copy(update={"name": "other", "rounds": 9}))
    monkeypatch.setattr(again, "encode", fail)
    for one, two in ((first, again.get(1, "train")), (pooled, again.pooled())):
        assert all(torch.equal(t, two.tensors()[name]) for name, t in one.tensors().items())
    other = sets_of(tiny.model_copy(update={"seed": 7}))
    assert not torch.equal(other.get(1, "train").features, first.features)


def test_the_pooled_set_is_the_same_cut_from_few_clients_or_made(tiny, monkeypatch):
    made = sets_of(tiny)
    cut = made.pooled()
    monkeypatch.setattr(cache, "_FEW", 0)
    whole = made.pooled()
    assert len(cut) == len(whole) == 64
    torch.testing.assert_close(cut.features, whole.features, atol=1e-5, rtol=1e-4)
    width = whole.input_ids.shape[1]
    mask = whole.attention_mask
    assert torch.equal(cut.input_ids[:, :width] * mask, whole.input_ids * mask)


def test_memory_and_disk_of_the_encoded_sets_are_bounded(tiny, monkeypatch):
    made = sets_of(tiny)
    size = made.get(0, "train").bytes
    monkeypatch.setattr(cache, "_IN_MEMORY", int(2.5 * size))
    monkeypatch.setattr(cache_files, "_ON_DISK", int(2.5 * size))
    many = tiny.model_copy(update={"clients": 6})
    bounded = sets_of(many)
    assert [key for key in bounded.make_ready([(k, "train") for k in range(6)])]
    assert len(bounded._memory) == 2
    assert not list(bounded.make_ready([(5, "train")])), "nothing is missing"
    sets_of(many)
    latest = [encoded_path(bounded.dataset, bounded.model, k, "train") for k in (4, 5)]
    assert set(latest[0].parent.iterdir()) == set(latest), "the latest stay"


def test_a_set_is_filed_under_what_was_resolved_and_not_under_auto(tiny):
    """Features that a GPU made in half precision are no good for a run in single precision."""
    here = sets_of(tiny)
    path = encoded_path(here.dataset, here.model, 0, "test")
    here.get(0, "test")
    assert path.exists()
    for other in ({"dtype": "bfloat16"}, {"device": "cuda"}, {"digest": "retrained"}):
        elsewhere = replace(here.model, **other)
        assert not encoded_path(here.dataset, elsewhere, 0, "test").exists()
    assert encoded_path(here.dataset, replace(here.model), 0, "test") == path


@pytest.mark.parametrize("vision", [False, True])
def test_a_set_too_large_for_memory_is_read_once_and_encoded_once(tiny, monkeypatch, vision):
    config = tiny.model_copy(update={"lora": Lora(vision=vision), "seed": 11})
    sets = sets_of(config)
    monkeypatch.setattr(cache, "_IN_MEMORY", 1)
    encoded, read = [], []
    encode, read_tensors = sets.encode, cache.read_tensors
    monkeypatch.setattr(sets, "encode", lambda e: encoded.append(1) or encode(e))
    monkeypatch.setattr(cache, "read_tensors", lambda path: read.append(1) or read_tensors(path))
    first = sets.get(0, "train")
    assert all(sets.get(0, "train") is first for _ in range(5))
    assert sum(encoded) == 1 and sum(read) <= 2, "and the look whether there is one"
    assert bool(first.images) == vision
    later = sets_of(config)
    monkeypatch.setattr(later, "encode", lambda _: pytest.fail("encoded again"))
    again = later.get(0, "train")
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, again.tensors()[name])
    for image, same in zip(first.images, again.images, strict=True):
        assert np.array_equal(image, same)


def test_other_processes_may_prune_and_read_at_the_same_time(tiny, monkeypatch):
    sets = sets_of(tiny)
    held = sets.get(0, "test")
    path = encoded_path(sets.dataset, sets.model, 0, "test")
    monkeypatch.setattr(cache, "_IN_MEMORY", 1)
    mapped = sets_of(tiny)
    before = mapped.get(0, "test").features.clone()
    path.unlink()  # by another process
    assert torch.equal(mapped.get(0, "test").features, before)
    assert torch.equal(sets_of(tiny).get(0, "test").features, held.features), "made anew"

    monkeypatch.setattr(cache_files, "_ON_DISK", 0)
    real = cache_files.file_state

    def gone_at_once(file):
        state = real(file)
        file.unlink(missing_ok=True)  # between the look and what follows from it
        return state

    monkeypatch.setattr(cache_files, "file_state", gone_at_once)
    cache_files.prune()


def test_pruning_spares_what_was_read_since_it_looked(tiny, monkeypatch):
    sets = sets_of(tiny)
    sets.get(0, "test")
    path = encoded_path(sets.dataset, sets.model, 0, "test")
    abandoned, written = path.with_name("old.tmp"), path.with_name("new.tmp")
    for file in (abandoned, written):
        file.write_bytes(b"x")
    os.utime(abandoned, (1, 1))
    looks = []

    def look(file):
        state = file_state(file)
        looks.append(file)
        if looks.count(path) == 1 and file == path:
            os.utime(path, (9, 9))  # read by another process after the first look
        return state

    monkeypatch.setattr(cache_files, "_ON_DISK", 0)
    monkeypatch.setattr(cache_files, "file_state", look)
    cache_files.prune()
    assert path.exists() and written.exists() and not abandoned.exists()


def test_exact_match_in_one_pass_is_exact_match_of_generated_answers(tiny):
    context = context_of(tiny)
    examples = context.dataset.pooled_test()
    task = Task(context.initial, context.sets.encode(examples))
    [generated] = generate(context.vlm, [task])
    right = [a.text == e.answer for a, e in zip(generated, examples, strict=True)]
    assert 0 < np.mean(right) < 1
    [marks] = score_teacher_forced(context.vlm, [task])
    assert marks.exact_match.tolist() == right
    [answers] = answer(context.vlm, [task], [marks])
    assert [a.text for a in answers] == [a.text for a in generated]
    np.testing.assert_allclose(
        [a.confidence for a in answers], [a.confidence for a in generated], atol=1e-4
    )


def test_confidence_is_the_probability_of_the_whole_answer(tiny):
    context = context_of(tiny)
    context.vlm.load_factors(context.initial)
    example = context.dataset.examples(0, "test")[0]
    [[found]] = generate(context.vlm, [Task(context.initial, context.sets.encode([example]))])
    encoded = context.vlm.encode([example.image], [example.question], [found.text])
    with torch.no_grad():
        logits = context.vlm.answer_logits(encoded)
    steps = logits.log_softmax(-1).gather(-1, encoded.labels.unsqueeze(-1)).squeeze(-1)
    # The first token is forced, so it is certain; rounding apart the rest must agree.
    assert abs(steps[0, 1:].sum().exp().item() - found.confidence) < 1e-4


def test_initial_factors_are_common_and_come_from_the_seed():
    shapes = {"x.lora_A": torch.Size([8, 128]), "x.lora_B": torch.Size([384, 8])}
    one, two, other = (initial_factors(shapes, seed) for seed in (0, 0, 1))
    assert torch.equal(one["x.lora_A"], two["x.lora_A"])
    assert not torch.equal(one["x.lora_A"], other["x.lora_A"])
    assert one["x.lora_A"].abs().max() <= 1 / np.sqrt(128)
    assert not one["x.lora_B"].any()


def test_adapter_size_from_the_header_is_that_of_the_loaded_model(tiny):
    small = tiny.model_copy(update={"lora": Lora(rank=3, targets=("q_proj", "fc2"))})
    for config in (tiny, small):
        factors, rank = context_of(config).vlm.factors, config.lora.rank
        model = resolve_model(config)
        numel = {f: sum(p.numel() for n, p in factors.items() if n.endswith(f)) for f in (A, B)}
        assert (rank * model.numel_a, rank * model.numel_b) == (numel[A], numel[B])
        for key, strategy in STRATEGIES.items():
            sent = [
                4 * p.numel()
                for round_ in (1, 2)
                for n, p in factors.items()
                if strategy.sends(n, round_)
            ]
            beside = sum(4 * values.size for values in strategy().extras().values())
            assert traffic_of(key, config, model).bytes_up == sum(sent) / 2 + beside


def test_pretraining_pictures_are_what_the_image_processor_makes():
    pictures = render(sample_scenes(4, rng(0, "pixels")))
    processor = build_processor().image_processor
    made = processor(list(pictures), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(
        pixel_values(torch.from_numpy(shrink(pictures))), made, atol=1e-5, rtol=1e-5
    )


def test_pretraining_runs_through_and_resumes_after_the_vision_stage(tmp_path):
    recipe = Recipe(scenes=192, vision_steps=2, language_steps=2)
    pretrain(tmp_path / "model", tmp_path / "work", recipe)
    [kept] = (tmp_path / "work").glob("*/vision.safetensors")
    stamp = kept.stat().st_mtime_ns
    pretrain(tmp_path / "model", tmp_path / "work", recipe)
    assert kept.stat().st_mtime_ns == stamp
    vlm = load_from(str(tmp_path / "model"), Lora(), "cpu")
    found = neutral_accuracy(vlm, seed=0, n=36)
    assert found.keys() == {"overall", *FAMILIES}


@pytest.mark.parametrize(("side", "passes"), [(96, [32, 32, 6]), (192, [8] * 8 + [6])])
def test_a_pass_of_the_tower_takes_fewer_pictures_where_they_are_larger(side, passes):
    """Else 32 pictures of a model like Florence-2 ask for 7 GB, which no estimate knows of."""
    taken: list[int] = []

    def look(pixel_values: torch.Tensor) -> Features:
        taken.append(len(pixel_values))
        return Features(pooler_output=pixel_values.flatten(2).mean(-1, keepdim=True))

    tower = SimpleNamespace(get_image_features=look)
    pictures = [{"pixel_values": torch.full((1, 3, side, side), float(k))} for k in range(70)]
    features = VisionCache(tower, lambda image: {}).features(pictures)
    assert taken == passes
    assert [float(one.mean()) for one in features] == list(range(70))


def test_only_safetensors_are_bundled():
    assert (BUNDLED_MODEL / "model.safetensors").exists()
    assert not list(BUNDLED_MODEL.glob("*.bin")) and not list(BUNDLED_MODEL.glob("*.p*t*h"))


@pytest.mark.parametrize(
    "penalty", [{"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 1}, {"min_new_tokens": 6}]
)
def test_what_a_checkpoints_generation_config_adds_changes_no_answer(tiny, monkeypatch, penalty):
    context = context_of(tiny)
    task = Task(context.initial, context.sets.get(0, "test"))
    [plain] = generate(context.vlm, [task])
    for name, value in penalty.items():
        monkeypatch.setattr(context.vlm.model.generation_config, name, value)
    [written] = generate(context.vlm, [task])
    assert [answer.text for answer in written] == [answer.text for answer in plain]
    [scores] = score_teacher_forced(context.vlm, [task])
    [stored] = answer(context.vlm, [task], [scores])
    assert [answer.text for answer in stored] == [answer.text for answer in written]


def test_confidence_counts_the_end_token_where_it_also_pads(tiny, tmp_path):
    """As in Llama's kin, whose tokenizers have no padding of their own."""
    vlm = load_from(str(save_checkpoint("llava", tmp_path / "llava")), Lora(), "cpu")
    vlm.pad = vlm.prompter.eos_token_id
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    words = vlm.model.lm_head.out_features
    logits = torch.zeros(words)
    logits[vlm.pad] = np.log(words - 1)  # the answer is over at once, with a probability of a half
    vlm.model.lm_head.register_forward_hook(lambda _, __, out: torch.zeros_like(out) + logits)
    _, confidence = vlm.generate(vlm.encode([picture], ["What?"], ["x"]))
    assert confidence.item() == pytest.approx(0.5, abs=1e-3)
