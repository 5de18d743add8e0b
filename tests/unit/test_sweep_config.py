"""Repeats and sweeps as keys of a config: what they stand for, and what cannot be swept."""

import pytest

from engine.config import ConfigError, ExperimentConfig, read_yaml, set_value, swept_keys


def config_of(*changes: str) -> ExperimentConfig:
    values: dict = {}
    for change in changes:
        values = set_value(values, change)
    return ExperimentConfig.parse(values)


def test_a_sweep_stands_for_every_value_in_every_draw():
    config = config_of(
        "sweep.lora.rank=1,4", "sweep.heterogeneity.level=0,1", "repeats=3", "seed=7"
    )
    points = [(point.values, point.config.seed) for point in config.points()]
    values = [(1, 0.0), (1, 1.0), (4, 0.0), (4, 1.0)]
    assert points == [(pair, seed) for seed in (7, 8, 9) for pair in values], "draw by draw"
    for (rank, level), point in config.points():
        assert (point.lora.rank, point.heterogeneity.level) == (rank, level)
        assert not point.is_swept and point.strategies == config.strategies
        assert f"lora.rank={rank}" in point.name and f"seed {point.seed}" in point.name
    rest = {"lora", "heterogeneity", "seed", "name"}
    assert points and all(
        point.config.model_dump(exclude=rest) == ExperimentConfig().model_dump(exclude=rest)
        for point in config.points()
    )


def test_a_plain_config_stands_for_itself():
    config = ExperimentConfig()
    assert not config.is_swept and [point.config for point in config.points()] == [config]
    assert [p.config.seed for p in config_of("repeats=2").points()] == [0, 1]


def test_what_nobody_has_set_stays_open_at_every_point():
    config = config_of("dataset=folder:/pictures", "sweep.lora.rank=1,2")
    for point in config.points():
        assert "clients" not in point.config.model_fields_set  # so the data's own are counted
        assert point.config.heterogeneity.kind == "natural"


@pytest.mark.parametrize(
    "text",
    [
        "sweep: {lora.rank: [1, 2, 4]}",
        "sweep: {lora: {rank: [1, 2, 4]}}",
        "sweep: {lora.rank: '1, 2, 4'}",
        "sweep:\n  lora.rank:\n  - '1'\n  - 2\n  - 4",
    ],
)
def test_form_file_and_command_line_write_the_same_sweep(text):
    config = ExperimentConfig.parse(read_yaml(text))
    assert config == config_of("sweep.lora.rank=1,2,4")
    assert config.model_dump(mode="json")["sweep"] == {"lora.rank": [1, 2, 4]}
    assert ExperimentConfig.parse(read_yaml(config.to_yaml())) == config
    assert hash(config) == hash(config_of("sweep.lora.rank=1,2,4"))
    assert not ExperimentConfig.parse(set_value(config.model_dump(), "sweep=")).is_swept


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["sweep.strategies=fedit,plora"], "sweep: strategies cannot be swept; allowed: "),
        (["sweep.seed=1,2"], "sweep: seed cannot be swept"),
        (["sweep.colour=1,2"], "sweep: colour is no key; allowed: "),
        (["sweep.lora.rank=1,99"], "sweep: lora.rank=99 is not possible: .* 64"),
        (["sweep.lora.rank=1,many"], "sweep: lora.rank=many is not possible: .* integer"),
        (["sweep.heterogeneity.kind=label,moon"], "heterogeneity.kind=moon .* 'concept'"),
        (["sweep.lora.rank=4,4"], "lora.rank names the same value twice"),
        (["sweep.lora.rank="], "lora.rank needs values"),
        (["sweep=lora.rank"], "sweep: holds 'key: values' lines"),
        (["sweep.lora.rank=1,2", "sweep.rounds=1,2", "sweep.clients=2,3"], "at most 2 keys, not 3"),
        (["sweep.lora.rank=1,2,4", "repeats=100"], "3 × 100 are 300 experiments; .* 256"),
        (["repeats=101"], "repeats: .* 100"),
        (["repeats=2", "seed=2147483647"], "repeats: at seed 2147483648: seed: "),
        (["sweep.privacy.noise=0,1"], "sweep: at privacy.noise=1: privacy.noise: needs"),
        (["sweep.lora.rank=8,2", "lora.client_ranks=8,4"], "at lora.rank=2: lora.client_ranks"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_point(changes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        config_of(*changes)
    assert "\n" not in str(caught.value)


def test_numbers_choices_and_switches_can_be_swept_and_nothing_else():
    swept = set(swept_keys())
    assert {"lora.rank", "heterogeneity.level", "samples_per_client", "fedprox.mu"} <= swept
    assert {"heterogeneity.kind", "lora.vision", "plora.start"} <= swept
    left_out = {"name", "model", "dataset", "strategies", "seed", "repeats", "sweep", "runtime"}
    assert not swept & (left_out | {"lora.targets", "lora.client_ranks", "device", "dtype"})
    assert not [key for key in swept if key.startswith("flower.")], "it changes no number"


def test_a_sweep_does_not_tell_a_run_apart():
    config = config_of("sweep.lora.rank=8,16", "repeats=2")
    assert config.for_one("plora") == config.points()[0].config.for_one("plora")
