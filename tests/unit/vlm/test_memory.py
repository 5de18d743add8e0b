"""What a model needs, what fits, and what happens when memory runs out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from db import reads
from engine.adapters.adapter import Adapter
from engine.config import ConfigError, ExperimentConfig, Lora
from engine.fl import context as context_module
from engine.fl import training
from engine.fl.evaluation import Task, _passes, score_teacher_forced
from engine.fl.training import Job, train, train_together
from engine.jobs import execution
from engine.system import machine
from engine.system.out_of_memory import advice, is_out_of_memory
from engine.vlm import memory
from engine.vlm.encoded import IGNORE_INDEX
from engine.vlm.limits import MicroBatch
from engine.vlm.loading import load_from
from engine.vlm.lora import initial_factors, side_by_side
from engine.vlm.memory import Estimate
from engine.vlm.multi_lora import stacked
from engine.vlm.resolved import resolve_model
from tests.helpers import checkpoints as made
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.runs import changed, run
from tests.unit.vlm.test_families import encoded, lively, pictures

GB = 2**30
LONG = "What is it? " * 20
MODEL = Estimate(8 * GB, GB // 100, 0, GB, GB // 10, GB // 5)


def test_as_many_rows_as_fit_and_checkpointing_where_not_one_does():
    assert MODEL.micro_batch(400 * GB) == MicroBatch(256, 256, False)
    some = MODEL.micro_batch(20 * GB)
    assert some.train == 8 and 8 < some.eval < 256 and not some.checkpointing
    tight = MODEL.micro_batch(11 * GB)
    assert tight.checkpointing and 1 <= tight.train < 10
    assert MODEL.micro_batch(9 * GB).train == 1, "it tries with one row"
    assert MODEL.micro_batch(20 * GB, micro_batch=3) == MicroBatch(3, 3, False)
    assert MODEL.micro_batch(20 * GB, micro_batch=30).checkpointing
    assert MODEL.micro_batch(400 * GB, checkpointing=True).checkpointing


@pytest.mark.parametrize("vision", [False, True])
@pytest.mark.parametrize("family", ["florence2", "smolvlm", "qwen3_vl", "paligemma"])
def test_adapter_size_is_that_of_the_loaded_model(checkpoint, family, vision):
    lora = Lora(rank=3, vision=vision)
    config = ExperimentConfig(model=checkpoint(family), lora=lora)
    factors = load_from(checkpoint(family), lora, "cpu").factors
    model = resolve_model(config)
    assert 3 * model.numel_a == sum(p.numel() for n, p in factors.items() if n.endswith("lora_A"))
    assert 3 * model.numel_b == sum(p.numel() for n, p in factors.items() if n.endswith("lora_B"))


def test_adapter_size_counts_the_layers_that_are_named(checkpoint):
    lora = Lora(rank=2, targets=("q_proj", "down_proj"))
    model = resolve_model(ExperimentConfig(model=checkpoint("llava"), lora=lora))
    factors = load_from(checkpoint("llava"), lora, "cpu").factors
    assert model.adapter_numel(2) == sum(p.numel() for p in factors.values())
    with pytest.raises(ConfigError, match="^lora.targets: .*bundled model is called nothing"):
        resolve_model(ExperimentConfig(lora=Lora(targets=("nothing",))))


@pytest.mark.parametrize("family", ["smolvlm", "llava"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_keeps_what_is_estimated(tmp_path, monkeypatch, family, dtype):
    """On a model whose layers, not its words, decide; with what torch keeps for the gradient."""
    wide = {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 6}
    monkeypatch.setattr(made, "TEXT", made.TEXT | wide)
    folder = str(save_checkpoint(family, tmp_path / family))
    monkeypatch.setattr("engine.vlm.checkpoint_files.skeleton._QUESTIONS", (LONG, "?"))
    alone = {"batch_size": 256, "samples_per_client": 8}  # no other client comes with a row
    config = ExperimentConfig(model=folder, dtype=dtype, device="cpu", **alone)
    found = memory.estimate(config, resolve_model(config))
    vlm = load_from(folder, Lora(), "cpu", getattr(torch, dtype))
    batch = vlm.encode(pictures()[:2], [LONG] * 2, ["a thing"] * 2)
    plain = _kept(vlm, batch) / 2
    assert 0.8 * plain < found.row < 3 * plain
    vlm.set_micro_batch(MicroBatch(checkpointing=True))
    assert _kept(vlm, batch) / 2 < found.row_checkpointed < 0.6 * plain
    numbers = sum(p.numel() for n, p in vlm.model.named_parameters() if "lora_" not in n)
    assert found.weights == numbers * (2 if dtype == "bfloat16" else 4)


@pytest.mark.parametrize("family", ["florence2", "smolvlm", "llava", "qwen2_vl", "qwen3_vl"])
def test_a_pass_of_the_tower_takes_what_is_estimated(tmp_path, monkeypatch, family):
    wide = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    monkeypatch.setattr(made, "VISION", made.VISION | wide)
    folder = str(save_checkpoint(family, tmp_path / family))
    config = ExperimentConfig(model=folder, device="cpu")
    estimate = memory.estimate(config, resolve_model(config))
    vlm = load_from(folder, Lora(), "cpu")
    at_once = 32 if family == "florence2" else 1
    pixels = [vlm._read(np.zeros((768, 768, 3), np.uint8))] * at_once
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        vlm.vision.features(pixels)
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    assert 0.9 * held.max() < estimate.tower < 3 * held.max()


def test_a_round_needs_memory_for_all_its_clients(checkpoint):
    """Their factors wait for the average, and with every batch of a pass comes a client's own."""
    config = ExperimentConfig(model=checkpoint("smolvlm"), device="cpu", batch_size=4)
    model = resolve_model(config)
    few = memory.estimate(config, model)
    many = memory.estimate(config.model_copy(update={"clients": 100}), model)
    more = (100 - config.clients) * model.adapter_numel(config.lora.rank)
    assert many.adapters - few.adapters >= 3 * 4 * more
    large = memory.estimate(config.model_copy(update={"samples_per_client": 4096}), model)
    assert large.row > few.row and large.features > few.features
    double = memory.estimate(config.model_copy(update={"strategies": ("feddpa",)}), model)
    assert double.adapters == 2 * few.adapters
    alone = config.model_copy(update={"batch_size": 256, "samples_per_client": 8})
    tuned = memory.estimate(alone.model_copy(update={"lora": Lora(vision=True)}), model)
    assert tuned.row > memory.estimate(alone, model).row


def _kept(vlm, batch) -> int:
    """Bytes that torch keeps for the backward pass, beside the model itself."""
    own = {p.untyped_storage().data_ptr() for p in vlm.model.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(tensor):
        if (storage := tensor.untyped_storage()).data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    for parameter in vlm.factors.values():
        parameter.requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _loss(vlm, batch)
    for parameter in vlm.factors.values():
        parameter.requires_grad_(False)
    return sum(storage.nbytes() for storage in storages.values())


def _loss(vlm, batch) -> torch.Tensor:
    logits = vlm.answer_logits(batch)
    return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE_INDEX)


@pytest.mark.parametrize("vision", [False, True])
@pytest.mark.parametrize("family", ["florence2", "smolvlm", "qwen2_vl", "qwen3_vl", "paligemma"])
def test_checkpointing_gives_the_same_gradient_and_computes_twice(checkpoint, family, vision):
    vlm = load_from(checkpoint(family), Lora(rank=4, vision=vision), "cpu")
    vlm.load_factors(lively(vlm, 1))
    batch = encoded(vlm)
    inner = [m for n, m in vlm.model.named_modules() if n.endswith("q_proj.base_layer")][-1]
    calls: list[int] = []
    hook = inner.register_forward_hook(lambda *_: calls.append(1))

    def gradients(on: bool) -> dict[str, torch.Tensor]:
        calls.clear()
        vlm.set_micro_batch(MicroBatch(checkpointing=on))
        for parameter in vlm.factors.values():
            parameter.requires_grad_(True)
        _loss(vlm, batch).backward()
        found = {n: p.grad for n, p in vlm.factors.items()}
        for parameter in vlm.factors.values():
            parameter.grad = None
            parameter.requires_grad_(False)
        return found

    plain = gradients(on=False)
    once = len(calls)
    again = gradients(on=True)
    assert once and len(calls) == 2 * once
    assert not vlm.model.training
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        calls.clear()
        vlm.answer_logits(batch)
        assert len(calls) == once, "testing computes nothing twice"
    assert gradients(on=False) and len(calls) == once, "it can be switched off again"
    hook.remove()


def test_a_cohort_keeps_to_the_rows_of_a_pass(checkpoint, monkeypatch):
    vlm = load_from(checkpoint("smolvlm"), Lora(rank=4), "cpu")
    start = initial_factors({n: p.shape for n, p in vlm.factors.items()}, 0)
    samples = encoded(vlm)
    sizes: list[int] = []
    logits = vlm.answer_logits
    monkeypatch.setattr(vlm, "answer_logits", lambda b: (sizes.append(len(b)), logits(b))[1])

    def trained(rows: int) -> list:
        sizes.clear()
        vlm.set_micro_batch(MicroBatch(rows, rows))
        jobs = [Job(start, samples, 2, np.random.default_rng(k)) for k in range(3)]
        found = train_together(vlm, jobs, list(start), batch_size=2, learning_rate=1e-3)
        vlm.set_micro_batch(MicroBatch())
        return found

    whole = trained(256)
    assert set(sizes) == {6}
    for rows, most in ((4, 4), (1, 1)):
        parts = trained(rows)
        assert max(sizes) == most
        for (one, _), (other, _) in zip(whole, parts, strict=True):
            for name in start:
                torch.testing.assert_close(one[name], other[name], atol=2e-3, rtol=1e-2)


def test_tests_keep_to_the_rows_of_a_pass(checkpoint):
    vlm = load_from(checkpoint("smolvlm"), Lora(rank=4), "cpu")
    tasks = [Task(lively(vlm, k), encoded(vlm)) for k in range(3)]
    whole = score_teacher_forced(vlm, tasks)
    vlm.set_micro_batch(MicroBatch(2, 2))
    assert {len(batch) for _, batch, _ in _passes(vlm, tasks)} == {2}
    parts = score_teacher_forced(vlm, tasks)
    vlm.set_micro_batch(MicroBatch())
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.loss, other.loss, atol=1e-3, rtol=1e-3)


def test_only_small_plain_models_share_a_pass(checkpoint, monkeypatch):
    plain = load_from(checkpoint("smolvlm"), Lora(rank=4), "cpu")
    assert stacked.supports_stacking(plain)
    assert not stacked.supports_stacking(
        load_from(checkpoint("smolvlm"), Lora(rank=2, vision=True), "cpu")
    )
    assert not stacked.supports_stacking(
        load_from(checkpoint("smolvlm"), Lora(), "cpu", torch.bfloat16)
    )
    monkeypatch.setattr(plain, "is_small", False)
    assert not stacked.supports_stacking(plain)


def test_two_adapters_of_one_client_act_in_bfloat16(checkpoint):
    vlm = load_from(checkpoint("smolvlm"), Lora(rank=4), "cpu", torch.bfloat16)
    one = lively(vlm, 1)
    twice = side_by_side(Adapter(one), Adapter(one), 0.25)
    plain, both = (score_teacher_forced(vlm, [Task(f, encoded(vlm))])[0] for f in (one, twice))
    torch.testing.assert_close(plain.loss, both.loss, atol=0.2, rtol=0.05)


def describe(config: ExperimentConfig) -> memory.ModelFacts:
    return memory.describe(config, resolve_model(config))


def test_describing_the_bundled_model_and_another(checkpoint):
    facts = describe(ExperimentConfig())
    assert facts.family == "Florence-2" and facts.fits and facts.micro_batch == MicroBatch()
    assert facts.bytes == 4 * facts.parameters and facts.memory > facts.bytes
    other = describe(ExperimentConfig(model=checkpoint("qwen2_vl"), device="cpu"))
    assert (other.family, other.device, other.dtype) == ("Qwen2-VL", "cpu", "float32")
    model = load_from(checkpoint("qwen2_vl"), Lora(), "cpu").model
    assert other.parameters == sum(
        p.numel() for n, p in model.named_parameters() if "lora_" not in n
    )
    with pytest.raises(ConfigError, match="^model: there is no folder"):
        resolve_model(ExperimentConfig(model="no/such/model"))


def test_what_is_free_counts_what_this_process_holds_and_a_containers_limit(tmp_path, monkeypatch):
    assert machine.room("cpu") > machine.free_memory() > 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert machine.free_memory() > 2**20
    (tmp_path / "memory.max").write_text("5000\n")
    assert machine.free_memory() == 4000


def test_a_context_sets_the_passes_and_another_large_model_replaces_it(
    tiny, checkpoint, monkeypatch
):
    own = changed(tiny, model=checkpoint("smolvlm"), device="cpu")
    vlm = context_module.context_of(own).vlm
    assert vlm.rows_per_pass == 256 and not vlm.checkpointing
    small = own.model_copy(update={"micro_batch": 2, "checkpointing": True})
    assert context_module.context_of(small).vlm is vlm
    assert (vlm.rows_per_pass, vlm.rows_tested, vlm.checkpointing) == (2, 2, True)
    assert context_module.context_of(own).vlm.rows_per_pass == 256 and not vlm.checkpointing
    released = []
    monkeypatch.setattr(context_module, "release", lambda: released.append(1))
    context_module.context_of(own.model_copy(update={"seed": 5}))
    assert not released, "it is the same model"
    other = checkpoint("llava")
    context_module.loading._alive.pop(str(other), None)  # another test may have loaded it
    context_module.context_of(own.model_copy(update={"model": other}))
    assert released


FAULTS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: not enough memory: "
                 "you tried to allocate 9 bytes."),
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=["gpu", "python", "cpu"])
def test_a_run_out_of_memory_says_what_to_change_and_the_next_one_runs(tiny, monkeypatch, fault):
    real, released = training.F.cross_entropy, []

    def fail(*_, **__):
        raise fault

    release = execution.release
    monkeypatch.setattr(execution, "release", lambda: (released.append(1), release()))
    monkeypatch.setattr(training.F, "cross_entropy", fail)
    config = ExperimentConfig.parse({**tiny.model_dump(), "strategies": ["fedit"]})
    [summary] = run(config)
    assert summary.status == "failed" and released
    error = reads.run(summary.run).error
    assert error.startswith("memory ran out: lower batch_size or micro_batch")
    assert "checkpointing=true" in error and "data.answer_tokens" in error and "\n" not in error
    assert load_from.cache_info().currsize == 0
    monkeypatch.setattr(training.F, "cross_entropy", real)
    [summary] = run(config)
    assert summary.status == "done"


def test_other_faults_are_not_taken_for_want_of_memory(tiny):
    assert not is_out_of_memory(ArithmeticError("the loss is not a finite number"))
    assert "dtype=bfloat16" in advice(tiny.model_copy(update={"model": "a/b"}))
    assert "dtype" not in advice(tiny)
    switched = tiny.model_copy(update={"checkpointing": True, "micro_batch": 1})
    assert advice(switched) == "memory ran out: lower batch_size, data.answer_tokens, lora.rank"


def test_a_failed_step_leaves_no_gradient_behind(checkpoint, monkeypatch):
    vlm = load_from(checkpoint("smolvlm"), Lora(rank=4), "cpu")
    start = initial_factors({n: p.shape for n, p in vlm.factors.items()}, 0)

    def fail(self, *_, **__):
        raise MemoryError

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    with pytest.raises(MemoryError):
        train(vlm, Job(start, encoded(vlm), 1, np.random.default_rng(0)), list(start),
              batch_size=2, learning_rate=1e-3)  # fmt: skip
    assert all(p.grad is None and not p.requires_grad for p in vlm.factors.values())


def test_on_a_gpu_its_own_memory_counts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * GB, 8 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: GB)
    assert machine.room("cuda") == machine.room("cuda", of_all=True) == 4 * GB
    monkeypatch.setattr(machine, "other_workers", lambda: [SimpleNamespace(pid=1)])
    assert machine.room("cuda", of_all=True) == 8 * GB, "a worker lets go of its model"
