"""An adapter to start from is loaded as PEFT loads it, or refused in one sentence."""

import json
import re
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from engine.config import BUNDLED, ConfigError, ExperimentConfig
from engine.vlm.checkpoint_files import skeleton
from engine.vlm.imported_adapter import CONFIG, WEIGHTS, import_adapter, read_adapter
from engine.vlm.merging import merge_adapter
from engine.vlm.resolved import resolve_model
from tests.helpers.checkpoints import save_checkpoint

PATTERN = r".*(language_model|text_model).*\.(q_proj|v_proj)"


@pytest.fixture(scope="module", params=["llava", "qwen2_vl", "smolvlm", "bundled"])
def model(request, tmp_path_factory) -> str:
    if request.param == "bundled":
        return BUNDLED
    return str(save_checkpoint(request.param, tmp_path_factory.mktemp("models") / request.param))


def plain_model(model: str) -> torch.nn.Module:
    place = "assets/model" if model == BUNDLED else model
    return AutoModelForImageTextToText.from_pretrained(place)


@pytest.fixture
def adapter(model, tmp_path) -> Path:
    """An adapter with a B that is not zero, saved by PEFT."""
    torch.manual_seed(0)
    made = get_peft_model(plain_model(model), LoraConfig(r=4, lora_alpha=8, target_modules=PATTERN))
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    made.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def imported(model: str, folder: Path) -> str:
    config = ExperimentConfig(model=model, start=str(folder), device="cpu")
    return import_adapter(config, resolve_model(config))


def refusal(model: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        imported(model, folder)
    assert str(caught.value).startswith("start: ") and "\n" not in str(caught.value)
    return str(caught.value)


def settings(folder: Path, **values: object) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rewrite(folder: Path, change) -> None:
    """Write the factors anew as ``change`` of them."""
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def assert_merged_as_peft_does(model: str, folder: Path, expected: Path) -> None:
    reference = PeftModel.from_pretrained(plain_model(model), expected).merge_and_unload()
    merged = plain_model(model)
    merge_adapter(merged, imported(model, folder))
    before = plain_model(model).state_dict()
    moved = 0
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(value, reference.state_dict()[name])
        moved += not torch.equal(value, before[name])
    assert moved


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"init_lora_weights": "gaussian"}])
def test_it_is_merged_as_peft_merges_it(model, adapter, options):
    settings(adapter, **options)
    assert_merged_as_peft_does(model, adapter, adapter)


@pytest.mark.parametrize(
    "options",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "corda"},
        {"init_lora_weights": "loftq"},
        {"init_lora_weights": "something new"},
        {"alora_invocation_tokens": [1, 2]},
        {"use_dora": True},
        {"lora_bias": True},
        {"bias": "all"},
        {"fan_in_fan_out": True},
        {"trainable_token_indices": [3]},
        {"target_parameters": ["x"]},
        {"rank_pattern": {"q_proj": 2}},
        {"modules_to_save": ["lm_head"]},
        {"an_option_of_next_year": 1},
        {"peft_type": "IA3"},
    ],
    ids=lambda options: "-".join(map(str, next(iter(options.items())))),
)
def test_options_that_are_not_known_to_be_right_are_refused(model, adapter, options):
    settings(adapter, **options)
    said = refusal(model, adapter)
    assert "only plain LoRA" in said and f"{next(iter(options))}=" in said


@pytest.mark.parametrize("values", [{"r": 0}, {"r": -1}, {"lora_alpha": float("nan")}])
def test_numbers_that_mean_nothing_are_refused(model, adapter, values):
    settings(adapter, **values)
    assert "r is at least 1" in refusal(model, adapter)


def test_a_rank_that_is_not_the_factors_is_refused(model, adapter):
    settings(adapter, r=8)
    assert "with r=8 this model needs [8, " in refusal(model, adapter)


def test_factors_that_are_missing_swapped_resized_or_no_numbers_are_refused(model, adapter):
    whole = load_file(adapter / WEIGHTS)
    b = next(name for name in whole if "lora_B" in name)
    a = b.replace("lora_B", "lora_A")
    rewrite(adapter, lambda f: {n: t for n, t in f.items() if n != b})
    assert "the adapter has no lora_B for the layer" in refusal(model, adapter)
    save_file({**whole, a: whole[b], b: whole[a]}, adapter / WEIGHTS)
    assert "has the shape" in refusal(model, adapter)
    save_file({**whole, b: whole[b][:-1].contiguous()}, adapter / WEIGHTS)
    assert "lora_B of the layer" in refusal(model, adapter)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        bad = whole[b].to(dtype).clone()
        bad[0, 0] = float("inf")
        save_file({**whole, b: bad}, adapter / WEIGHTS)
        assert "holds what is not a number" in refusal(model, adapter)
    save_file({**whole, b: whole[b].to(torch.int8)}, adapter / WEIGHTS)
    assert "numbers of the type I8" in refusal(model, adapter)


def test_a_file_that_is_cut_off_or_a_pointer_is_refused(model, adapter):
    weights = adapter / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "cannot be read; was it cloned without git-lfs?" in refusal(model, adapter)
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "cannot be read" in refusal(model, adapter)


OLD = {
    "llava": (r"model\.language_model\.", "language_model.model."),
    "qwen2_vl": (r"model\.language_model\.", "model."),
}


def test_names_of_older_transformers_are_those_of_today(model, adapter, tmp_path):
    family = Path(model).name
    if family not in OLD:
        pytest.skip("its names have not changed")
    old = tmp_path / "old"
    old.mkdir()
    (old / CONFIG).write_bytes((adapter / CONFIG).read_bytes())
    pattern, replacement = OLD[family]
    factors = {re.sub(pattern, replacement, n, count=1): t
               for n, t in load_file(adapter / WEIGHTS).items()}  # fmt: skip
    assert factors.keys() != load_file(adapter / WEIGHTS).keys()
    save_file(factors, old / WEIGHTS)
    assert_merged_as_peft_does(model, old, adapter)
    assert set(read_adapter(imported(model, old)).factors()) == {
        n.removeprefix("base_model.model.").removesuffix(".weight")
        for n in load_file(adapter / WEIGHTS)
    }


def test_a_head_that_shares_the_words_weights_has_none_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(skeleton, "check_weights", lambda *_: None)  # there are none for the head
    folder = save_checkpoint("smolvlm", tmp_path / "smolvlm")
    path = folder / "config.json"
    values = json.loads(path.read_text())
    for tied in (False, True):
        values["tie_word_embeddings"] = values["text_config"]["tie_word_embeddings"] = tied
        path.write_text(json.dumps(values))
        config = ExperimentConfig(model=str(folder), device="cpu")
        model = resolve_model(config)
        place, side = str(folder), 112
        layers = skeleton.inspect_checkpoint(
            place, place, model.digest, config.lora.targets, False, side
        )[1]
        assert ("lm_head" in layers) is not tied
