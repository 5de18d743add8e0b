"""Mistakes outside of the config's values: files, folders, addresses. One line each, status 2."""

import os
import subprocess
import sys

import pytest

from db.engine import database_url
from engine.config import ConfigError, ExperimentConfig, read_config, set_value
from engine.fl.runtimes import standing
from engine.paths import ROOT
from engine.results import example
from tests.unit.cli.test_cli import call

LONG = "x" * 300
TEXT = "name: H\u00e4user\nrounds: 3\n"


def file(tmp_path, content: bytes):
    path = tmp_path / "experiment.yaml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"],
)
def test_a_config_is_read_as_editors_and_shells_write_it(tmp_path, encoding):
    values = read_config(file(tmp_path, TEXT.encode(encoding)))
    assert values == {"name": "H\u00e4user", "rounds": 3}


def test_an_empty_section_says_nothing_and_can_be_filled(tmp_path):
    values = read_config(file(tmp_path, b"name: X\ndata:\nlora:\nrounds: 1\n"))
    assert ExperimentConfig.parse(values).rounds == 1
    for section in (values, {"data": None}, {"data": {}}):
        assert ExperimentConfig.parse(set_value(section, "data.rows=100")).data.rows == 100


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "key: value"),
        (bytes(range(256)), "not text"),
        (b"\xff\xfex", "not text"),
        (b"- a", "key: value"),
        (b"name: [", "not YAML"),
        (b"name: 2024-13-45", "not YAML"),
        (b"[" * 3000, "not YAML"),
        (b"? [a, b]\n: 1", "not YAML"),
        (b"!!python/object/apply:os.getcwd []", "not YAML"),
        (b"rounds: 1\nrounds: 2", "'rounds' stands there twice"),
        (b"1: 2", "1: there is no such key"),
        (b'"a\\nb": 1', "a b: there is no such key"),
        (b"data: 5", "data: "),
        (b"data: {image: }", "data.image: "),
        (b"rounds: .inf", "rounds: "),
        (b"lora: [1, 2]", "lora: "),
    ],
)
def test_a_file_that_is_no_config_is_one_sentence(capsys, tmp_path, content, words):
    status, out, err = call(capsys, "run", "--config", str(file(tmp_path, content)))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err and "Traceback" not in err and len(err) < 1500


def test_a_value_where_a_section_belongs_is_named():
    with pytest.raises(ConfigError, match="data: holds 'key: value' lines"):
        set_value({"data": 5}, "data.rows=100")


PATHS = [
    ["run", "--config", "{bad}"],
    ["submit", "--config", "{bad}"],
    ["run", "--set", "dataset=folder:{bad}"],
    ["run", "--set", "model={bad}"],
    ["run", "--set", "start={bad}"],
    ["import", "{bad}"],
    ["ask", "1", "--client", "0", "--image", "{bad}", "--question", "How many?"],
    ["export", "1", "{bad}"],
    ["pretrain", "--out", "{bad}"],
]


@pytest.mark.parametrize("bad", ["{file}/below", "/" + LONG, "/proc/nothing"])
@pytest.mark.parametrize("arguments", PATHS, ids=lambda a: " ".join(a))
def test_a_path_that_cannot_be_is_one_sentence(capsys, tmp_path, arguments, bad):
    if arguments[0] == "export":
        example.install()
    bad = bad.format(file=file(tmp_path, TEXT.encode()))
    status, out, err = call(capsys, *(argument.replace("{bad}", bad) for argument in arguments))
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert bad[:40] in err and "Traceback" not in err


def test_a_home_that_cannot_be_is_one_sentence(tmp_path):
    path = file(tmp_path, b"")
    for home in (path, path / "below", "/proc/nothing", "~nobody-of-this-name/lab"):
        environment = {**os.environ, "FEDVLM_HOME": str(home)}
        command = [sys.executable, "-m", "engine", "runs"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: FEDVLM_HOME: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "a b", "\u00e4\U0001f600"])
def test_the_database_is_inside_of_a_home_of_any_name(capsys, tmp_path, monkeypatch, name):
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / name))
    status, _, _ = call(capsys, "runs")
    assert status == 0 and (tmp_path / name / "fedvlm.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "address",
    [
        *("nonsense", "sqlite://", "sqlite:///:memory:", "http://x", "mysql://x/y"),
        *("sqlite:////proc/nothing.db", "sqlite:////tmp", "postgresql://nobody@127.0.0.1:1/x"),
    ],
)
def test_an_address_that_is_no_database_is_one_sentence(capsys, monkeypatch, address):
    monkeypatch.setenv("FEDVLM_DATABASE_URL", address)
    status, out, err = call(capsys, "runs")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: FEDVLM_DATABASE_URL: ") and "Traceback" not in err


def test_a_relative_address_is_the_same_file_for_a_worker_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDVLM_DATABASE_URL", "sqlite:///mine.db")
    assert database_url().database == str(tmp_path / "mine.db")
    monkeypatch.chdir("/")
    assert database_url().database == str(tmp_path / "mine.db")


def test_a_second_federation_is_one_sentence(capsys, home, monkeypatch):
    monkeypatch.setattr(standing, "standing", object)
    status, out, err = call(capsys, "federation", "--sites", "1")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert "a federation stands already" in err and "Traceback" not in err
