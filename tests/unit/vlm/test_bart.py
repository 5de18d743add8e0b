"""Florence-2 written out for many adapters does what the model's own modules do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from engine.adapters.adapter import Adapter
from engine.config import Lora
from engine.fl.context import context_of
from engine.fl.evaluation import Task, score_teacher_forced
from engine.fl.training import Job, train, train_together
from engine.system.seeding import rng
from engine.vlm.encoded import IGNORE_INDEX, EncodedBatch, concatenate
from engine.vlm.model import Vlm
from engine.vlm.multi_lora.bart import FusedBart, supports_fused
from engine.vlm.multi_lora.logits import logits_fn
from engine.vlm.multi_lora.packing import Packing, Reach, attend
from engine.vlm.multi_lora.projection import multi_lora_linear
from engine.vlm.multi_lora.stacked import StackedAdapters, active
from tests.helpers.models import loaded
from tests.helpers.precision import in_double


def questions(tiny) -> EncodedBatch:
    """16 rows of two clients, of different lengths; one does not count."""
    sets = context_of(tiny).sets
    batch = concatenate([sets.get(k, "train").select(slice(0, 8)) for k in (0, 1)])
    batch.labels[3] = IGNORE_INDEX
    assert batch.attention_mask.sum(1).unique().numel() > 1
    assert (batch.labels != IGNORE_INDEX).sum(1).unique().numel() > 2
    return batch


def two_adapters(vlm: Vlm) -> StackedAdapters:
    """Of ranks 4 and 8, one of which counts half."""
    generator = torch.Generator().manual_seed(0)
    factors = {n: torch.randn(f.shape, generator=generator) / 10 for n, f in vlm.factors.items()}
    return StackedAdapters(
        vlm, [Adapter(factors).cut(4), factors], list(factors), weights=[1.0, 0.5]
    )


def gradients(
    stacked: StackedAdapters, wanted: list[str], logits: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Summed losses of the adapters (n,), and the gradients of their factors."""
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    losses = each.view(len(stacked), -1).sum(1)
    return losses, torch.autograd.grad(losses.sum(), [stacked.trained[n] for n in wanted])


@pytest.mark.parametrize("trained", ["lora", "lora_A", "lora_B"])
def test_losses_and_gradients_are_those_of_the_modules(tiny, trained, monkeypatch):
    vlm, batch = loaded(tiny), questions(tiny)
    tokens = []

    def noted(x: torch.Tensor, *rest) -> tuple[torch.Tensor, ...]:
        tokens.append(x.shape[:2].numel())
        return multi_lora_linear(x, *rest)

    monkeypatch.setattr("engine.vlm.multi_lora.bart.multi_lora_linear", noted)
    batch = replace(batch, features=batch.features.double())
    with in_double(vlm.model):
        stacked = two_adapters(vlm)
        wanted = [name for name in stacked.trained if trained in name]
        for name, factor in stacked.trained.items():
            factor.requires_grad_(name in wanted)
        logits = FusedBart(vlm, stacked).answer_logits(batch)
        losses, found = gradients(stacked, wanted, logits, batch.labels)
        with active(stacked):
            rows = vlm.answer_logits(batch)
            expected_losses, expected = gradients(stacked, wanted, rows, batch.labels)
    # It went without the padding, in the prompts and in the answers.
    assert max(tokens) < batch.input_ids.numel()
    assert min(tokens) < batch.labels.numel()
    torch.testing.assert_close(losses, expected_losses, rtol=1e-6, atol=0)
    for gradient, wanted in zip(found, expected, strict=True):
        assert gradient.norm() > 0
        assert (gradient - wanted).norm() <= 1e-6 * wanted.norm()


def test_scores_are_those_of_the_modules(tiny, monkeypatch):
    vlm, batch = loaded(tiny), questions(tiny)
    generator = torch.Generator().manual_seed(1)
    one, two = (
        {n: torch.randn(f.shape, generator=generator) / 10 for n, f in vlm.factors.items()}
        for _ in range(2)
    )
    counted = batch.select(torch.tensor([k for k in range(16) if k != 3]))
    tasks = [Task(one, counted), Task(Adapter(two).cut(4), counted.select(slice(0, 5)))]
    found = score_teacher_forced(vlm, tasks)
    monkeypatch.setattr("engine.vlm.multi_lora.logits.supports_fused", lambda *_: False)
    for scores, expected in zip(found, score_teacher_forced(vlm, tasks), strict=True):
        assert torch.equal(scores.tokens, expected.tokens)
        assert torch.equal(scores.exact_match, expected.exact_match)
        torch.testing.assert_close(scores.loss, expected.loss, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(scores.confidence, expected.confidence, rtol=1e-3, atol=1e-6)


def test_it_stands_only_for_a_florence_with_adapters_everywhere(tiny):
    vlm = loaded(tiny)
    assert supports_fused(vlm, two_adapters(vlm))
    vlm.checkpointing = True
    assert not supports_fused(vlm, two_adapters(vlm))
    some = loaded(tiny.model_copy(update={"lora": Lora(targets=("q_proj", "v_proj"))}))
    assert not supports_fused(some, two_adapters(some))


def test_with_a_tower_that_learns_or_in_half_precision_it_stands_for_nothing(tiny):
    vlm = loaded(tiny.model_copy(update={"lora": Lora(vision=True)}))
    assert logits_fn(vlm, two_adapters(vlm)) == vlm.answer_logits
    half = loaded(tiny.model_copy(update={"dtype": "bfloat16"}))
    assert logits_fn(half, two_adapters(half)) == half.answer_logits


def test_with_some_layers_adapted_a_cohort_trains_as_before(tiny):
    vlm = loaded(tiny.model_copy(update={"lora": Lora(targets=("q_proj", "v_proj"))}))
    samples, names = questions(tiny), list(vlm.factors)
    start = vlm.read_factors(names)

    def jobs() -> list[Job]:
        return [Job(start, samples, 3, rng(0, "batches", k)) for k in (0, 1)]

    how = {"batch_size": 8, "learning_rate": 3e-3}
    together = train_together(vlm, jobs(), names, **how)
    for (one, loss), job in zip(together, jobs(), strict=True):
        expected, expected_loss = train(vlm, job, names, **how)
        assert loss == pytest.approx(expected_loss, rel=1e-4)
        for name in names:
            moved = (expected[name] - start[name]).norm()
            assert moved > 0
            assert (one[name] - expected[name]).norm() <= 0.01 * moved


def test_packed_tokens_come_back_in_their_places():
    kept = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]]).bool()
    kept = F.pad(kept, (0, 2))
    packing = Packing(kept, shares=2, heads=2)
    assert packing.pack(torch.arange(20).view(4, 5))[0, :3].tolist() == [0, 1, 5]
    assert packing.position_ids[1, :5].tolist() == [0, 1, 2, 1, 2]
    assert packing.fill.shape == (2, 8)  # 5 at most, in steps of 8
    assert packing.fill.sum(1).tolist() == [5, 3]
    x = torch.randn(2, 8, 6)
    rows = packing.split_heads(x, blank=True).view(4, 2, 5, 3)
    assert torch.equal(rows[1, :, 0], x[0, 2].view(2, 3))
    assert not rows.transpose(1, 2)[~kept].any()
    back = packing.merge_heads(rows, blank=True)
    assert torch.equal(back[~packing.fill], x[~packing.fill])
    assert not back[packing.fill].any()


def test_packed_attention_is_attention():
    with in_double():
        kept = torch.arange(5) < torch.tensor([5, 2, 3, 1]).unsqueeze(1)
        packing = Packing(kept, shares=2, heads=2)
        shape = *packing.fill.shape, 6
        packed = [torch.randn(shape, requires_grad=True) for _ in range(3)]
        rows = [packing.split_heads(x).view(4, 2, 5, 3) for x in packed]
        mask = kept.view(4, 1, 1, 5)
        expected = F.scaled_dot_product_attention(*rows, attn_mask=mask, scale=0.7).flatten(0, 1)
        expected = packing.merge_heads(expected)[~packing.fill]
        found = attend(*packed, Reach(packing, packing, packing.attn_bias, 0.7))[~packing.fill]
        torch.testing.assert_close(found, expected)
        gradients_found = torch.autograd.grad(found.square().sum(), packed)
        wanted = torch.autograd.grad(expected.square().sum(), packed)
        torch.testing.assert_close(gradients_found, wanted)
