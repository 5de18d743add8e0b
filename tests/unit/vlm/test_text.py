"""Texts of other people: what a model reads as control, what is too long, odd chat templates."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.config import BUNDLED, ConfigError, ExperimentConfig, Lora
from engine.fl.context import context_of
from engine.paths import BUNDLED_MODEL
from engine.vlm.checkpoint_files.bundled import bundled_facts
from engine.vlm.families import family_of
from engine.vlm.processors import load_processor
from engine.vlm.prompts import Prompter, markers_of
from engine.vlm.resolved import resolve_model
from engine.vlm.text_limits import TextLimits, check_lengths
from tests.helpers.checkpoints import FAMILIES, save_checkpoint

PICTURE = np.random.default_rng(0).integers(0, 255, (40, 72, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(params=FAMILIES)
def folder(request, checkpoints) -> Path:
    place = checkpoints / request.param
    return place if place.exists() else save_checkpoint(request.param, place)


@pytest.fixture
def qwen(checkpoints, tmp_path) -> Path:
    """A checkpoint whose templates a test may spoil."""
    place = checkpoints / "qwen2_vl"
    source = place if place.exists() else save_checkpoint("qwen2_vl", place)
    return Path(shutil.copytree(source, tmp_path / "qwen"))


def prompter_of(folder: Path) -> Prompter:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    return Prompter(load_processor(str(folder)), family_of(kind), 2, kind != "florence2", 12)


def test_a_question_with_the_models_markers_is_asked_without_them(folder):
    prompter = prompter_of(folder)
    [plain] = prompter.inputs([PICTURE], ["Which colour is it?"])
    control = prompter.markers.control
    assert {"<pad>", "</s>"} < set(control) and prompter.processor.image_token in control
    questions = [f"{marker}\nWhich {marker} colour is it?" for marker in control]
    questions.append("".join(control) + "Which colour is it?")
    for inputs in prompter.inputs([PICTURE] * len(questions), questions):
        assert inputs["input_ids"].tolist() == plain["input_ids"].tolist()


def test_an_answer_with_a_marker_is_a_problem_that_is_named(folder):
    config = ExperimentConfig(model=str(folder), device="cpu")
    limits = TextLimits(config, resolve_model(config))
    for marker in (*limits.markers.control, *limits.markers.ends):
        assert marker.strip() in limits.answer_problem(f"red {marker} or blue")
    assert limits.answer_problem("a <b> & 5 < 6 > 2 [INST]") == ""
    assert "nothing but" in limits.question_problem(limits.markers.control[0] + "<pad>")


def test_of_the_bundled_model_torch_free_facts_are_those_of_its_processor():
    facts = bundled_facts(Lora().targets, of_world=True)
    processor = load_processor(str(BUNDLED_MODEL))
    assert facts.markers == markers_of(processor, family_of("florence2"))
    prompter = Prompter(processor, family_of("florence2"), 2, False, 12)
    [inputs] = prompter.inputs([PICTURE], ["box"])
    assert inputs["input_ids"].shape[1] == facts.frame_tokens + 1


def test_florences_tasks_stand_alone_or_not_at_all():
    prompter = prompter_of(BUNDLED_MODEL)
    assert prompter.prompt(" <OCR> ") == "<OCR>"
    assert prompter.prompt("Is <OCR> a tag?") == "Is a tag?"


@pytest.mark.parametrize("words", [51, 52, 53, 60])
def test_the_longest_question_is_known_and_can_be_asked(tiny, words):
    limits = TextLimits(tiny, resolve_model(tiny))
    question = " ".join(["box"] * words)
    problem = limits.question_problem(question)
    assert bool(problem) is (words > 52)
    vlm = context_of(tiny).vlm
    batch = vlm.encode([PICTURE], [question], ["red"])
    if problem:
        assert problem == (
            f"the question is too long: {words} tokens, and the model reads 52 beside the picture"
        )
        with pytest.raises(IndexError):
            vlm.answer_logits(batch)
    else:
        vlm.answer_logits(batch)


def test_answers_longer_than_the_models_positions_are_refused(tiny, qwen):
    def with_tokens(model: str, tokens: int) -> ExperimentConfig:
        data = tiny.data.model_copy(update={"answer_tokens": tokens})
        return tiny.model_copy(update={"model": model, "data": data})

    for model, most in ((BUNDLED, 64), (str(qwen), 512 - 28 - 1)):
        config = with_tokens(model, most)
        check_lengths(config, resolve_model(config))
        config = with_tokens(model, most + 1)
        with pytest.raises(ConfigError, match=rf"^data.answer_tokens: .* allowed: 1 to {most}$"):
            check_lengths(config, resolve_model(config))
    longest = with_tokens(BUNDLED, 64)
    vlm = context_of(longest).vlm
    batch = vlm.encode([PICTURE], ["What is it?"], [" ".join(["box"] * 90)])
    assert vlm.answer_logits(batch).shape[1] == 64
    assert vlm.generate(batch)[0]


def test_answers_that_are_cut_are_known(tiny):
    limits = TextLimits(tiny, resolve_model(tiny))
    assert [limits.is_cut(" ".join(["box"] * n)) for n in (10, 11, 12, 40)] == [
        False, False, True, True]  # fmt: skip


def template_of(folder: Path) -> str:
    return (folder / "chat_template.jinja").read_text()


def facts(folder: Path) -> object:
    return resolve_model(ExperimentConfig(model=str(folder), device="cpu"))


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        facts(folder)
    assert str(caught.value).startswith("model: ") and "\n" not in str(caught.value)
    return str(caught.value)


def into_tokenizer(folder: Path, template: object) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))


def test_a_template_in_the_tokenizer_is_used(qwen):
    before = facts(qwen).frame_tokens
    into_tokenizer(qwen, template_of(qwen))
    assert facts(qwen).frame_tokens == before


def test_of_several_templates_the_default_one_is_used_else_it_is_said(qwen):
    before, template = facts(qwen).frame_tokens, template_of(qwen)
    named = [{"name": n, "template": template} for n in ("default", "tool_use")]
    into_tokenizer(qwen, named)
    assert facts(qwen).frame_tokens == before
    into_tokenizer(qwen, [named[1], {"name": "rag", "template": template}])
    assert "(rag, tool_use) none is called default" in refusal(qwen)


def test_without_any_template_a_family_that_needs_one_is_refused(qwen):
    (qwen / "chat_template.jinja").unlink()
    assert "has no place for a picture" in refusal(qwen)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}", "place for a picture"),
        ("{% for m in messages %}{{ m.content + 'x' }}{% endfor %}", "cannot be used"),
        ("{% for m in messages %}{{ m.content", "cannot be used"),
        ("{{ raise_exception('Only text!') }}", "cannot be used (Only text!)"),
        ("<|vision_start|><|image_pad|><|vision_end|> Describe it.", "leaves out the question"),
    ],
    ids=["text only", "adds strings", "broken", "raises", "deaf"],
)
def test_templates_that_cannot_ask_about_a_picture_are_refused(qwen, template, words):
    (qwen / "chat_template.jinja").write_text(template)
    assert words in refusal(qwen)
