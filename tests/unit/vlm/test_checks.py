"""A model that cannot work is refused before anything starts, in one sentence that says why."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from engine.config import ConfigError, ExperimentConfig, Lora
from engine.fl.context import context_of
from engine.fl.traffic import traffic_of
from engine.jobs import queue
from engine.paths import ROOT
from engine.vlm import loading, memory
from engine.vlm.checkpoint_files import files, skeleton
from engine.vlm.checkpoint_files.sources import place_of, source_of
from engine.vlm.resolved import ResolvedModel, resolve_model


@pytest.fixture
def original(checkpoint) -> Path:
    return Path(checkpoint("smolvlm"))


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A checkpoint that a test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "model"))


@pytest.fixture(autouse=True)
def hub_is_asked_anew() -> None:
    files._on_hub.cache.clear()


def check_model(config: ExperimentConfig) -> None:
    memory.check_fits(config, resolve_model(config))


def refusal(model: object, **values) -> str:
    """What is said of a config that is refused."""
    with pytest.raises(ConfigError) as caught:
        check_model(ExperimentConfig(model=str(model), **{"device": "cpu", **values}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(folder: Path, **values) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_good_folder_passes_and_so_does_what_the_launcher_makes_of_it(folder, tiny):
    config = ExperimentConfig.parse({**tiny.model_dump(), "model": str(folder), "device": "cpu"})
    check_model(config)
    queue.create(config)


def test_from_the_form_to_the_run_the_model_is_looked_at_once(folder, tiny, monkeypatch):
    """Set up draws its facts, its costs and its sentences, then submits, and the run loads it."""
    looks = []
    build = skeleton.build
    monkeypatch.setattr(skeleton, "build", lambda place: (looks.append(place), build(place))[1])
    config = ExperimentConfig.parse({**tiny.model_dump(), "model": str(folder), "device": "cpu"})
    for _ in range(2):
        memory.describe(config, resolve_model(config))
        traffic_of("fedit", config, resolve_model(config))
    queue.create(config)
    context_of(config)
    assert looks == [str(folder)]


def test_a_model_that_was_trained_again_is_loaded_again(folder, tiny):
    config = ExperimentConfig.parse({**tiny.model_dump(), "model": str(folder), "device": "cpu"})
    before, vlm = resolve_model(config), context_of(config).vlm
    weights = folder / "model.safetensors"
    save_file({n: t + 1 for n, t in load_file(weights).items()}, weights, {"format": "pt"})
    assert resolve_model(config).digest != before.digest
    assert context_of(config).vlm is not vlm
    with pytest.raises(ConfigError, match="^model: the files of .* have changed since"):
        loading.load(config, before)


def test_what_was_resolved_goes_to_json_and_back(folder, tiny):
    for config in (tiny, ExperimentConfig(model=str(folder))):
        model = resolve_model(config)
        assert "auto" not in (model.device, model.dtype)
        assert ResolvedModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_the_bundled_model_costs_nothing(home):
    code = (
        "import sys; from engine.config import ExperimentConfig as C, Lora\n"
        "from engine.vlm.memory import describe\n"
        "from engine.vlm.resolved import ResolvedModel, resolve_model\n"
        "for c in (C(), C(lora=Lora(targets=('q_proj',)))): describe(c, resolve_model(c))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert refusal("bundled", lora=Lora(targets=("x",))).startswith("lora.targets: no linear layer")


@pytest.mark.parametrize("model", ["nowhere", "./models/x", "a/b/c", "a b/c", "/no/such/place"])
def test_what_is_neither_a_folder_nor_a_name(model):
    assert refusal(model).startswith(f"model: there is no folder '{model}' here; allowed: bundled")


def test_a_folder_that_is_no_model(tmp_path):
    assert refusal(tmp_path).endswith("has no config.json; a model's folder holds one")
    (tmp_path / "config.json").write_text("{}")
    assert "has no weights" in refusal(tmp_path)
    (tmp_path / "pytest_model.bin").write_bytes(b"")
    assert "only as pickle files" in refusal(tmp_path)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    assert "lacks model-2.safetensors" in refusal(tmp_path)
    (tmp_path / "model-2.safetensors").write_bytes(b"")
    assert "model-1.safetensors is not whole; was it cloned without git-lfs?" in refusal(tmp_path)
    for name in set(index["weight_map"].values()):
        save_file({"a": torch.zeros(1)}, tmp_path / name)
    for text in ("{", "[1]"):
        (tmp_path / "config.json").write_text(text)
        assert "is not JSON" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "is of the type ''" in refusal(tmp_path)


def test_architectures_that_are_not_supported(folder):
    change(folder, model_type="bert")
    assert "is of the type 'bert'" in refusal(folder) and "SmolVLM" in refusal(folder)
    change(folder, model_type="minicpmv", auto_map={"AutoModel": "modeling.MiniCPMV"})
    assert "needs code of its own" in refusal(folder)
    change(folder, model_type="florence2")
    assert "needs code of its own" in refusal(folder)


def test_a_model_without_picture_features(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "git"}))
    assert "whose picture features the lab cannot read" in refusal(folder)


def test_a_model_that_cannot_be_built(folder):
    change(folder, text_config={"model_type": "no-such-type"})
    assert "cannot be built" in refusal(folder)


def test_weights_that_are_missing_or_of_another_shape_are_named(folder):
    """transformers would draw them at random, and the run would end "done"."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(n for n in weights if "text_model" in n and "q_proj" in n)
    save_file({n: t for n, t in weights.items() if n != name}, path, {"format": "pt"})
    assert f"no weights of the shape that its config.json asks for: {name}" in refusal(folder)
    save_file({**weights, name: weights[name][:-1].contiguous()}, path, {"format": "pt"})
    assert "no weights of the shape" in refusal(folder)


def test_a_processor_that_cannot_be_made(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "the tokenizer or image processor of" in refusal(folder)


def test_layers_and_devices_that_are_not_there(folder, monkeypatch):
    said = refusal(folder, lora=Lora(targets=("nothing",)))
    assert said.startswith("lora.targets: no linear layer") and "q_proj" in said
    monkeypatch.setattr("engine.vlm.lora._linear_names", lambda *_: [])
    skeleton.inspect_checkpoint.cache_clear()
    assert "no language model part" in refusal(folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for model in ("bundled", folder):
        assert refusal(model, device="cuda").startswith("device: there is no CUDA device")


def test_a_model_that_is_too_large(folder, monkeypatch):
    change(folder, text_config={**json.loads((folder / "config.json").read_text())["text_config"],
                                "num_hidden_layers": 200, "hidden_size": 4096,
                                "intermediate_size": 20000})  # fmt: skip
    monkeypatch.setattr(skeleton, "check_weights", lambda *_: None)
    monkeypatch.setattr(memory, "room", lambda *_, **__: 8 * 2**30)
    said = refusal(folder, micro_batch=4)
    assert said.startswith(f"model: {folder} is too large for this machine: it needs about ")
    assert "there are 8.0 GB; what would help: a smaller model, dtype=bfloat16, a lower" in said
    assert "bfloat16" not in refusal(folder, dtype="bfloat16")


def response(code: int) -> httpx.Response:
    return httpx.Response(code, request=httpx.Request("GET", "http://hub"))


def wrapped(cause: Exception) -> OSError:
    """As transformers raises what the hub's client raised."""
    error = OSError("We couldn't load the files.\nCheck something.")
    error.__cause__ = cause
    return error


GATED = errors.GatedRepoError("gated", response=response(403))
ABSENT = errors.RepositoryNotFoundError("404", response=response(404))
HUB_ERRORS = [
    (GATED, "is gated; ask for access on its page on the hub and log in with 'huggingface-cli"),
    (wrapped(GATED), "is gated"),
    (ABSENT, "there is no a/b on the hub, or it is private"),
    (wrapped(ABSENT), "there is no a/b on the hub"),
    (errors.LocalEntryNotFoundError("not cached"), "the hub cannot be reached to fetch a/b"),
    (errors.OfflineModeIsEnabled("offline"), "the hub cannot be reached"),
    (httpx.ConnectTimeout("slow"), "the hub cannot be reached"),
    (errors.RemoteEntryNotFoundError("no", response=response(404)), "has no config.json"),
    (errors.HfHubHTTPError("bad", response=response(503)), "error 503"),
    (wrapped(errors.HfHubHTTPError("bad", response=response(500))), "error 500"),
    (errors.HFValidationError("no"), "is no model of the hub; it is OWNER/NAME"),
    (ValueError("odd\nthing"), "cannot be read (odd thing)"),
]


@pytest.mark.parametrize(("error", "words"), HUB_ERRORS)
def test_what_the_hub_says_is_told_apart(monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("engine.system.hub.refuse_without_network", lambda: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    said = refusal("a/b")
    assert said.startswith("model: ") and words in said


def on_the_hub(monkeypatch, *names: str) -> None:
    listed = SimpleNamespace(
        siblings=[SimpleNamespace(rfilename=name) for name in names], sha="abc"
    )
    monkeypatch.setattr("engine.system.hub.refuse_without_network", lambda: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: listed)


def test_of_the_hub_only_what_is_needed_is_fetched(monkeypatch, original):
    asked_for = []

    def fetch(model, name, **_):
        asked_for.append(name)
        return str(original / name)

    on_the_hub(monkeypatch, "config.json", "pytorch_model.bin")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert "only as pickle files" in refusal("a/b") and not asked_for
    on_the_hub(monkeypatch, "config.json", "model.safetensors")
    assert files.read_checkpoint("a/b").config["model_type"] == "smolvlm"
    assert asked_for == ["config.json"]


def test_without_a_network_the_answer_is_quick(monkeypatch):
    def no_address(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("engine.system.hub.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: pytest.fail("tried"))
    assert "the hub cannot be reached to fetch a/b; is there a network?" in refusal("a/b")


def test_a_model_that_was_fetched_needs_no_network(monkeypatch, original):
    monkeypatch.setattr(
        "engine.vlm.checkpoint_files.sources.try_to_load_from_cache",
        lambda *_: str(original / "config.json"),
    )
    monkeypatch.setattr(
        "engine.system.hub.refuse_without_network", lambda: pytest.fail("asked the hub")
    )
    assert place_of("a/b") == str(original) and source_of("a/b") == "a/b"
    check_model(ExperimentConfig(model="a/b", device="cpu"))
