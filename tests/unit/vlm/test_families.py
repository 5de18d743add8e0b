"""Every first-class family, on a tiny random checkpoint: what is cached must change nothing."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForImageTextToText

from engine.config import Lora
from engine.fl.evaluation import Task, answer, generate, score_teacher_forced
from engine.fl.training import Job, train, train_together
from engine.vlm.encoded import IGNORE_INDEX, concatenate
from engine.vlm.loading import load_from
from engine.vlm.lora import initial_factors
from engine.vlm.model import Vlm
from tests.helpers.checkpoints import FAMILIES

SIZES = ((40, 72), (64, 40), (32, 32), (90, 33))  # pictures of different shapes: other token counts
QUESTIONS = ("What is it?", "How many are there?", "Why?", "Is it red, or is it blue?")
ANSWERS = ("red", "a blue box", "7", "no")


@pytest.fixture(params=FAMILIES)
def folder(request, checkpoint) -> str:
    return checkpoint(request.param)


def pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*size, 3), dtype=np.uint8) for size in SIZES]


def lively(vlm: Vlm, seed: int) -> dict[str, torch.Tensor]:
    """An adapter whose B is not zero."""
    start = initial_factors({n: p.shape for n, p in vlm.factors.items()}, seed)
    generator = torch.Generator().manual_seed(seed)
    return {n: v + 0.3 * torch.randn(v.shape, generator=generator) for n, v in start.items()}


def encoded(vlm: Vlm):
    return vlm.encode(pictures(), QUESTIONS, ANSWERS)


def test_cached_and_padded_is_the_same_as_each_alone_from_pixels(folder):
    vlm = load_from(folder, Lora(rank=4), "cpu")
    vlm.load_factors(lively(vlm, 1))
    batch = encoded(vlm)
    with torch.no_grad():
        found = vlm.answer_logits(batch)
        for row, (image, question) in enumerate(zip(pictures(), QUESTIONS, strict=True)):
            [inputs] = vlm.prompter.inputs([image], [question])
            inputs.pop("labels", None)
            labels = batch.labels[row][batch.labels[row] != IGNORE_INDEX].unsqueeze(0)
            if vlm.causal:
                n = labels.shape[1]
                for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
                    if name in inputs:
                        filler = 0 if name == "mm_token_type_ids" else 1
                        inputs[name] = F.pad(inputs[name], (0, n), value=filler)
                inputs["input_ids"] = torch.cat([inputs["input_ids"], labels], 1)
                plain = vlm.model(**inputs).logits[:, -n - 1 : -1]
            else:
                plain = vlm.model(**inputs, labels=labels).logits
            torch.testing.assert_close(found[row, : plain.shape[1]], plain[0], atol=2e-3, rtol=1e-2)


def test_the_picture_matters(folder):
    vlm = load_from(folder, Lora(rank=4), "cpu")
    vlm.load_factors(lively(vlm, 1))
    seen, dark = (
        vlm.encode([image], QUESTIONS[:1], ANSWERS[:1])
        for image in (pictures()[0], np.zeros_like(pictures()[0]))
    )
    with torch.no_grad():
        assert (vlm.answer_logits(seen) - vlm.answer_logits(dark)).abs().max() > 0.02


def test_generation_agrees_with_the_plain_model_and_with_the_marks(folder):
    vlm = load_from(folder, Lora(rank=4), "cpu")
    adapter = lively(vlm, 2)
    [answers] = generate(vlm, [Task(adapter, encoded(vlm))])
    vlm.load_factors(adapter)
    for (image, question), found in zip(
        zip(pictures(), QUESTIONS, strict=True), answers, strict=True
    ):
        [inputs] = vlm.prompter.inputs([image], [question])
        inputs.pop("labels", None)
        out = vlm.model.generate(**inputs, max_new_tokens=12, do_sample=False, num_beams=1)
        new = out[:, inputs["input_ids"].shape[1] :] if vlm.causal else out
        assert found.text == vlm.texts(new)[0]
    tests = encoded(vlm)
    marks = score_teacher_forced(vlm, [Task(adapter, tests)])
    assert [a.text for a in answer(vlm, [Task(adapter, tests)], marks)[0]] == [
        a.text for a in answers
    ]


def test_a_cohort_trains_as_one_after_another(folder):
    vlm = load_from(folder, Lora(rank=4), "cpu")
    start = initial_factors({n: p.shape for n, p in vlm.factors.items()}, 0)
    samples = encoded(vlm)
    rows = [samples.select(slice(0, 3)), samples.select(slice(1, 4))]
    how = {"batch_size": 2, "learning_rate": 1e-3}

    def jobs() -> list[Job]:
        return [Job(start, own, 3, np.random.default_rng(k)) for k, own in enumerate(rows)]

    names = list(vlm.factors)
    together = train_together(vlm, jobs(), names, **how)
    for job, (factors, loss) in zip(jobs(), together, strict=True):
        alone, alone_loss = train(vlm, job, names, **how)
        assert abs(loss - alone_loss) < 1e-4
        for name in names:
            torch.testing.assert_close(factors[name], alone[name], atol=2e-3, rtol=1e-2)
    assert any(not torch.equal(together[0][0][n], start[n]) for n in names)


def test_one_learns_what_it_is_shown(folder):
    vlm = load_from(folder, Lora(rank=8), "cpu")
    start = initial_factors({n: p.shape for n, p in vlm.factors.items()}, 0)
    samples = encoded(vlm)
    job = Job(start, samples, 60, np.random.default_rng(0))
    factors, _ = train(vlm, job, list(vlm.factors), batch_size=4, learning_rate=2e-2)
    [before], [after] = (
        score_teacher_forced(vlm, [Task(adapter, samples)]) for adapter in (start, start | factors)
    )
    assert after.mean_loss < 0.5 * before.mean_loss


def test_small_passes_give_the_same_gradient(folder):
    plain = load_from(folder, Lora(rank=4), "cpu")
    start = initial_factors({n: p.shape for n, p in plain.factors.items()}, 0)
    samples = encoded(plain)

    def trained(rows: int) -> dict[str, torch.Tensor]:
        plain.rows_per_pass = rows
        job = Job(start, samples, 2, np.random.default_rng(0))
        return train(plain, job, list(plain.factors), batch_size=4, learning_rate=1e-3)[0]

    whole, parts = trained(256), trained(3)
    plain.rows_per_pass = 256
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], atol=2e-3, rtol=1e-2)


def test_the_vision_tower_can_learn_too(folder):
    vlm = load_from(folder, Lora(rank=2, vision=True), "cpu")
    towers = [n for n in vlm.factors if "vis" in n]
    assert towers and len(towers) < len(vlm.factors)
    samples = encoded(vlm)
    assert samples.images and not samples.features.numel()
    start = lively(vlm, 3)
    job = Job(start, samples, 2, np.random.default_rng(0))
    factors, _ = train(vlm, job, list(vlm.factors), batch_size=3, learning_rate=1e-2)
    assert any(not torch.equal(factors[name], start[name]) for name in towers)
    both = concatenate([samples.select(slice(0, 2)), samples.select(torch.tensor([2, 3]))])
    [whole], [parts] = (
        score_teacher_forced(vlm, [Task(factors, some)]) for some in (samples, both)
    )
    torch.testing.assert_close(whole.loss, parts.loss, atol=1e-3, rtol=1e-3)
    now = {name.replace(".base_layer", ""): p for name, p in vlm.model.named_parameters()}
    for name, before in AutoModelForImageTextToText.from_pretrained(folder).named_parameters():
        assert torch.equal(now[name], before), "only adapters learn"
