import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import ConfigError, ExperimentConfig, field, known_keys, read_yaml, set_value
from engine.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_yaml(name):
    config = ExperimentConfig.parse(preset(name))
    assert ExperimentConfig.parse(read_yaml(config.to_yaml())) == config


def test_quickstart_is_what_it_promises():
    config = ExperimentConfig.parse(preset("quickstart"))
    assert (config.clients, config.lora.rank, config.rounds) == (4, 8, 16)
    assert (config.heterogeneity.kind, config.heterogeneity.level) == ("mixed", 0.8)
    assert config.strategies == ("local", "fedit", "plora")


@pytest.mark.parametrize(
    ("change", "key", "allowed"),
    [
        ("clients=0", "clients", "1"),
        ("heterogeneity.kind=foo", "heterogeneity.kind", "'concept'"),
        ("heterogeneity.level=2", "heterogeneity.level", "1"),
        ("lora.rank=many", "lora.rank", "integer"),
        (
            "dataset=zip:/x",
            "dataset",
            "allowed: world, digits, easy-vqa, folder:PATH, hub:OWNER/NAME or sites",
        ),
        ("dataset=folder:", "dataset", "folder:PATH"),
        ("strategies=fedit,foo", "strategies", "'plora'"),
        ("strategies=", "strategies", "1 item"),
        ("strategies=fedit,fedit", "strategies", "twice"),
        ("lora.targets=q_proj,q_proj", "lora", "twice"),
        ("learning_rate=nan", "learning_rate", "1"),
        ("nonsense=1", "nonsense", "heterogeneity.level"),
        ("clients", "--set", "key=value"),
        ("clients=[1", "clients", "integer"),
        ("a\nb=1", "a b", "there is no such key"),
    ],
)
def test_mistakes_become_one_sentence(change, key, allowed):
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig.parse(set_value({}, change))
    sentence = str(caught.value)
    assert key in sentence and allowed in sentence and "\n" not in sentence


def test_set_reaches_into_tables_and_keeps_the_rest():
    values = set_value({"heterogeneity": {"kind": "label"}}, "heterogeneity.level=0.25")
    config = ExperimentConfig.parse(set_value(values, "name=2024"))
    assert (config.heterogeneity.kind, config.heterogeneity.level) == ("label", 0.25)
    assert config.name == "2024"


@pytest.mark.parametrize("text", ["- a\n- b", "key: [", "just words"])
def test_a_file_that_is_no_mapping_is_refused(text):
    with pytest.raises(ConfigError):
        read_yaml(text)


def test_every_contract_key_exists():
    contract = (
        "name model dataset clients samples_per_client heterogeneity.kind heterogeneity.level "
        "lora.rank lora.alpha lora.targets strategies rounds local_steps batch_size "
        "learning_rate participation seed runtime device"
    )
    options = "fedprox.mu plora.start feddpa.weight ditto.lam lora.client_ranks dropout tested_on "
    options += " privacy.clip privacy.noise privacy.delta lora.vision start dtype micro_batch "
    options += "checkpointing data.image data.question data.answer data.client data.rows "
    options += "data.test_samples data.metric data.answer_tokens fault_share repeats sweep "
    options += "training_seed corners.held_out corners.until fedalt.weight tap.margin "
    options += "flower.actors flower.gpu_share flower.client_process flower.wait "
    options += "robust faulty_clients privacy.max_epsilon"
    assert sorted(known_keys()) == sorted(f"{contract} {options}".split())


def test_a_client_cannot_have_a_higher_rank_than_the_server():
    with pytest.raises(ConfigError, match=r"lora.client_ranks: must not exceed lora.rank, .* 8"):
        ExperimentConfig.parse({"lora": {"rank": 8, "client_ranks": [4, 16]}})
    values = set_value({}, "lora.client_ranks=8,4,2")
    config = ExperimentConfig.parse(values)
    assert [config.lora.rank_of(k) for k in range(4)] == [8, 4, 2, 8]
    assert ExperimentConfig().lora.rank_of(3) == 8


def test_what_does_not_change_a_run_does_not_tell_it_apart():
    one = ExperimentConfig(name="one", strategies=("fedit", "plora"))
    other = ExperimentConfig(name="other", strategies=("plora",), fedprox={"mu": 2.0})
    assert one.for_one("plora") == other.for_one("plora") != one.for_one("fedit")
    for values in ({"seed": 1}, {"plora": {"start": "reset"}}, {"learning_rate": 0.1}):
        assert ExperimentConfig(**values).for_one("plora") != one.for_one("plora")
    kinds = [{"kind": kind, "level": 0} for kind in ("label", "concept")]
    alike = {ExperimentConfig(heterogeneity=h).for_one("fedit") for h in kinds}
    assert len(alike) == 1, "at level 0 all kinds are one federation"


def test_form_limits_come_from_the_definition():
    found = field("clients")
    assert (found.low, found.high) == (1, 1000)
    rate = field("learning_rate")
    assert (rate.low, rate.high) == (0.0, 1.0) and isinstance(rate.low, float)
    assert not rate.allows(0) and rate.allows(1e-9) and rate.allows(1) and not rate.allows(1.1)
    assert found.allowed == "from 1 to 1,000" and rate.allowed == "above 0, at most 1"
    for key in known_keys():  # what a field starts with is allowed
        head, _, tail = key.partition(".")
        value = getattr(ExperimentConfig(), head)
        value = getattr(value, tail) if tail else value
        assert field(key).annotation not in (int, float) or field(key).allows(value), key
    assert field("plora.start").title.startswith("pLoRA") and field("plora.start").low is None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("fedit")
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
TABLES = ("data", "heterogeneity", "lora", "privacy", "fedprox", "plora")
KEYS = sorted({key.partition(".")[0] for key in known_keys()})
INNER = sorted({key.partition(".")[2] for key in known_keys()} - {""})
some = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@given(
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), ANY, max_size=4),
    st.dictionaries(
        st.sampled_from(TABLES), st.dictionaries(st.sampled_from(INNER), SCALARS, max_size=3)
    ),
)
@some
def test_any_values_are_a_config_or_one_sentence_that_names_the_key(values, tables):
    values |= tables
    try:
        config = ExperimentConfig.parse(values)
    except ConfigError as mistake:
        sentence = str(mistake)
        assert ": " in sentence and "\n" not in sentence and len(sentence) < 2000
        told = " ".join(sentence.split())
        assert any(told.startswith(" ".join(name.split())) for name in values)
    else:
        assert ExperimentConfig.parse(read_yaml(config.to_yaml())) == config
        assert hash(config) == hash(config.model_copy())


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: data.decode("latin-1")))
@some
def test_any_text_is_a_mapping_or_one_sentence(text):
    try:
        assert isinstance(read_yaml(text), dict)
    except ConfigError as mistake:
        assert str(mistake).startswith("config: ") and "\n" not in str(mistake)


@given(st.sampled_from(known_keys()) | st.text(max_size=8), st.text(max_size=12))
@some
def test_any_assignment_is_a_config_or_one_sentence(key, text):
    try:
        ExperimentConfig.parse(set_value({}, f"{key}={text}"))
    except ConfigError as mistake:
        assert "\n" not in str(mistake) and ": " in str(mistake)
