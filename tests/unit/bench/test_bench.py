"""The benches, part by part on small numbers, and the pages that they write."""

import os
import sys
from typing import get_args

import pytest
from PIL import Image

from engine.bench import cards, full_size, harness, runtimes, speed, speed_report, world
from engine.bench.agreement import close, losses_of
from engine.bench.runtimes import Overhead
from engine.bench.setting import write_setting
from engine.bench.speed_figures import Measured, SpeedReport
from engine.bench.world import WorldReport
from engine.cli.bench import SPEED_PARTS
from engine.config import ExperimentConfig, HeterogeneityKind
from engine.data.synthetic.questions import FAMILIES
from engine.data.synthetic.scenes import COLOUR_NAMES
from engine.fl.context import context_of, forget
from engine.fl.training import batches
from engine.paths import ASSETS, BUNDLED_MODEL, ROOT
from engine.presets import preset
from engine.system.seeding import rng
from tests.helpers.runs import run


@pytest.fixture(scope="module")
def vlm():
    bench = context_of(ExperimentConfig())
    bench.vlm.load_factors(bench.initial)
    return bench.vlm


@pytest.mark.slow
def test_the_bundled_model_sees_and_does_not_guess(vlm):
    seeing = world.neutral_accuracy(vlm, seed=11, n=900)
    assert seeing["overall"] >= 0.92
    assert min(seeing[family] for family in FAMILIES) >= 0.85
    assert world.neutral_accuracy(vlm, seed=11, n=900, blind=True)["overall"] <= 0.45
    assert sum(f.stat().st_size for f in BUNDLED_MODEL.iterdir()) <= 12e6
    assert world.milliseconds_per_question(vlm, seed=11, repeats=3) > 0


@pytest.mark.slow
def test_a_site_is_strange_at_first_and_training_helps():
    found = world.shifted_accuracy(seed=12, clients=2, steps=60)
    assert found["shifted_base"] <= 0.6
    assert found["shifted_local"] >= found["shifted_base"] + 0.1


def test_the_skill_is_worth_learning_together():
    found = world.skill_accuracy(seed=13, sites=4)
    assert found["skill_base"] <= 0.25, "guessing, at best"
    assert found["skill_together"] >= found["skill_local"] + 0.05


def test_the_cards_hold_what_was_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "ASSETS", tmp_path)
    distances = {kind: [0.0, 0.111, 0.222, 0.333, 0.444] for kind in get_args(HeterogeneityKind)}
    families = dict.fromkeys(FAMILIES, 0.987)
    figures = (0.963, families, 0.21, 9.5, 12.3, 0.31, 0.92, 0.051, 0.444, 0.777)
    cards.write_cards(WorldReport(*figures, distances), seed=3)
    model, data = ((tmp_path / f"{name}_CARD.md").read_text() for name in ("MODEL", "DATA"))
    for figure in ("96.3 %", "98.7 %", "21.0 %", "9.5 MB", "12 ms", "31.0 %", "92.0 %", "--seed 3"):
        assert figure in model
    assert all(figure in model for figure in ("5.1 %", "44.4 %", "77.7 %"))
    assert data.count("0.111 | 0.222 | 0.333 | 0.444") == len(distances)
    assert all(f"| {name} |" in data for name in (*COLOUR_NAMES, *FAMILIES))
    sheet = Image.open(tmp_path / "cameras.png")
    assert sheet.width > 700 and sheet.height > 800
    for path in ("MODEL_CARD.md", "DATA_CARD.md", "cameras.png"):
        assert (ASSETS / path).exists()


@pytest.fixture
def small(monkeypatch):
    """The speed bench on a tiny federation, in this process."""
    values = {**preset("tiny"), "strategies": ["fedit", "plora"], "batch_size": 4}
    monkeypatch.setattr(speed, "preset", lambda _: values)
    monkeypatch.setattr(speed, "FUSED_CLIENTS", (2, 3))
    monkeypatch.setattr(speed, "_FUSED", {"samples_per_client": 8, "batch_size": 4})
    forget()
    yield
    forget()


@pytest.mark.slow
def test_floor_and_cohorts_reach_the_losses_of_the_lab(small, home):
    measured = speed.measure(["floor", "fused"], repeats=1)
    report = measured.report
    assert report.losses_agree and report.ours_over_floor > 0
    assert set(report.fused_over_sequential) == {"2", "3"}
    assert report.reference_over_ours is report.quickstart_s is report.first_round_warm_s is None
    assert os.environ["FEDVLM_HOME"] == str(home), "the caller's home is back"


@pytest.mark.slow
def test_runs_side_by_side_reach_the_losses_of_runs_in_turn(small, monkeypatch):
    monkeypatch.setattr(speed, "SIDE_BY_SIDE", {"two": {"strategies": ["local", "plora"]}})
    measured = speed.measure(["together"], repeats=2)
    assert measured.report.losses_agree and measured.report.side_by_side["two"] > 0
    assert len(measured.seconds["two, in turn"]) == len(measured.seconds["two, side by side"]) == 2


@pytest.mark.slow
def test_no_ratio_where_the_losses_differ(small, monkeypatch):
    monkeypatch.setattr(speed.floor, "batches", lambda n, *_: batches(n, 2, 1, rng(99, "other")))
    report = speed.measure(["floor"], repeats=1).report
    assert report.losses_agree is False and report.ours_over_floor is None


@pytest.mark.slow
def test_the_reference_is_the_same_federation(small, tmp_path):
    setting = tmp_path / "setting"
    setting.mkdir()
    config = ExperimentConfig.parse({**speed.preset("tiny"), "strategies": ["plora"]})
    write_setting(config, setting)
    found = harness.output([sys.executable, "benchmarks/reference.py", str(setting)])
    [summary] = run(config)
    assert close(found["losses"]["plora"], losses_of(summary.run))


@pytest.mark.slow
def test_the_profile_knows_where_the_time_goes(small, monkeypatch):
    measured = speed.measure(["profile"])
    for shares in (measured.before, measured.after):
        assert shares["seconds"] > 0
        assert sum(v for name, v in shares.items() if name != "seconds") == pytest.approx(1)
        assert {"data", "evaluation", "model arithmetic"} <= set(shares)


@pytest.mark.slow
def test_a_model_of_full_size_is_measured_as_the_miniature_is(home, monkeypatch):
    """The same code on a model that is hardly larger than the bundled one."""
    vision = {"depths": (1, 1), "embed_dim": (16, 32), "num_heads": (2, 2), "num_groups": (2, 2)}
    vision |= {"patch_size": (7, 3), "patch_stride": (4, 4), "patch_padding": (3, 1)}
    vision |= {"patch_prenorm": (False, True), "window_size": 4, "projection_dim": 32}
    text = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 200}
    text |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    monkeypatch.setattr(full_size, "VISION", vision)
    monkeypatch.setattr(full_size, "TEXT", {**full_size.TEXT, **text})
    monkeypatch.setattr(full_size, "PIXELS", 96)
    monkeypatch.setattr(full_size, "IMAGE_TOKENS", 37)
    small = {"samples_per_client": 8, "batch_size": 4, "local_steps": 2}
    monkeypatch.setattr(full_size, "SETTING", {**full_size.SETTING, **small})
    measured = speed.measure(["full-size"], repeats=1)
    found = measured.full_size
    assert measured.report.losses_agree and found.ours_over_floor > 0
    assert found.samples_per_s > 0 and found.with_tower_samples_per_s > 0
    assert 50_000 < found.parameters < 2_000_000 and found.memory_bytes > 50e6
    assert sum(found.shares.values()) == pytest.approx(1)
    page = "\n".join(speed_report._full_size(measured))
    assert f"{found.samples_per_s:.1f}" in page and found.dtype in page


@pytest.mark.slow
def test_the_runtimes_overhead_is_read_from_runs(home, monkeypatch):
    monkeypatch.setattr(runtimes, "CROWDS", {"crowd": ("clients=3", "participation=0.4")})
    monkeypatch.setattr(runtimes, "_CROWD", (*runtimes._CROWD[:-2], "rounds=2", "strategies=fedit"))
    monkeypatch.setattr(runtimes, "RUNTIMES", ("local",))
    found = speed.measure(["runtimes"]).runtimes
    assert set(found) == {"local", "crowd"}
    for overhead in found.values():
        assert overhead.start_seconds > 0 and overhead.round_seconds > 0
    assert found["crowd"].memory_bytes > found["local"].memory_bytes > 200e6, "actors beside"


def test_all_parts_without_a_gpu_are_all_but_the_large_model(monkeypatch):
    ran: list[str] = []
    parts = {name: lambda *_, name=name: ran.append(name) for name in speed.PARTS}
    monkeypatch.setattr(speed, "PARTS", parts)
    monkeypatch.setattr(speed.torch.cuda, "is_available", lambda: False)
    speed.measure()
    assert tuple(ran) == tuple(part for part in SPEED_PARTS if part != "full-size")


def test_the_speed_page_holds_what_was_measured(monkeypatch, tmp_path):
    report = SpeedReport(7.25, 1.04, {"8": 3.45}, 2.125, 10.75, 28.5, True)
    seconds = {"reference": 206.6, "quickstart": 28.5, "sequential": 41.3, "floor": 39.7}
    seconds |= {"apart 8": 2.51, "fused 8": 0.73}
    seconds |= {"3 runs, in turn": 33.9, "3 runs, side by side": 25.7}
    report.side_by_side = {"3 runs": 1.32}
    measured = Measured(report, {name: [value] for name, value in seconds.items()})
    measured.many = {1000: {"first": 13.3, "again": 5.2, "peak_rss_mb": 1009}}
    measured.before = {"data": 0.31, "database": 0.02, "seconds": 44.4}
    measured.after = {"data": 0.61, "seconds": 22.2}
    assert "reference: 206.60 s" in measured.lines()
    assert any(line.startswith("1000 clients: first 13.3") for line in measured.lines())
    measured.runtimes = {"ray": Overhead(12.25, 0.31, 2_300_000_000)}
    measured.agree = {"floor": True, "fused": True}
    measured.where = dict.fromkeys([part for part in speed.PARTS if part != "full-size"], "4 cores")
    speed_report.write_report(measured, tmp_path)
    page = (tmp_path / "SPEED.md").read_text()
    assert "losses: yes" in page and page.count("On 4 cores.") == len(speed.PARTS) - 1
    assert "Not measured. `python -m engine bench speed --only full-size`" in page
    for figure in (
        "206.6",
        "7.25×",
        "1.04×",
        "3.5×",
        "10.8",
        "1,000",
        "1009 MB",
        "61.0%",
        "44.4",
        "33.9",
        "1.32×",
        "| ray | 12.2 | 0.31 | 2.3 GB |",
    ):
        assert figure in page
    anew = Measured(SpeedReport(ours_over_floor=1.5), {"sequential": [60.0], "floor": [40.0]})
    anew.agree, anew.where = {"floor": False}, {"floor": "a slow core"}
    speed_report.write_report(anew, tmp_path)
    page = (tmp_path / "SPEED.md").read_text()
    assert "losses: NO" in page and "On a slow core." in page and "1.50×" in page
    assert "206.6" in page and "39.7" not in page, "other parts stay"
    assert (ROOT / "benchmarks" / "SPEED.md").exists()
