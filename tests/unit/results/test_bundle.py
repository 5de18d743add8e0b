"""Bundles: what one lab has made another one opens, and what is broken or hostile none does."""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save
from typer.testing import CliRunner

from db import bundles, reads
from engine.cli.main import app
from engine.config import ExperimentConfig
from engine.jobs.queue import NotPossible
from engine.paths import run_folder
from engine.results import ask, example
from engine.results.bundle.opening import open_bundle
from engine.results.bundle.rows import BadBundle
from engine.results.bundle.writing import bundle
from engine.results.export import export
from engine.strategies import STRATEGIES
from tests.helpers.runs import changed, run

PLORA = "runs/3/server-0016.safetensors"
FEDIT = "runs/2/server-0016.safetensors"
OWN = "runs/3/clients/1/personal-0016.safetensors"


def contents_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents: dict[str, bytes], *, named_anew: bool = True) -> bytes:
    """A bundle of these contents, which it names with their digests as an honest one does."""
    if named_anew:
        about = json.loads(contents["bundle.json"])
        rest = {name: data for name, data in contents.items() if name != "bundle.json"}
        about["files"] = {name: sha256(data).hexdigest() for name, data in rest.items()}
        contents = {"bundle.json": json.dumps(about).encode(), **rest}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def files_of(home: Path) -> dict[str, bytes]:
    """All files of a home but the database's and locks."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.startswith("fedvlm.db") and path.suffix != ".lock"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """What the bundle of the example holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDVLM_HOME", str(tmp_path_factory.mktemp("bundles") / "home"))
        example.install()
        return contents_of(bundle(reads.bundled_runs()[0].experiment_id))


@pytest.mark.parametrize(
    "strategies",
    [
        ["plora", "flora"],
        ["local", "feddpa", "rolora", "fedex", "hetlora"],
        ["corners", "fedalt", "potara", "tap", "ffa"],
    ],
)
def test_a_bundle_is_the_same_experiment_with_the_same_answers_in_an_empty_home(
    strategies, tiny, tmp_path, monkeypatch
):
    values = {"participation": 0.5, "lora": {"client_ranks": [8, 3]}, "data": {"test_samples": 8}}
    config = changed(tiny, strategies=strategies, **values)
    first = run(config)
    experiment = reads.run(first[0].run).experiment_id
    data, rows = bundle(experiment), bundles.dump(experiment)
    assert bundle(experiment) == data
    answers = [ask.predict(own.run, k, deployed(own.run)) for own in first for k in (0, 1)]
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "other"))
    assert open_bundle(io.BytesIO(data)) == experiment
    opened = reads.runs_of(experiment)
    assert reads.summaries(opened) == first
    assert bundles.dump(experiment) == {**rows, "runs": [settled(row) for row in rows["runs"]]}
    assert answers == [ask.predict(own.id, k, deployed(own.id)) for own in opened for k in (0, 1)]
    assert contents_of(bundle(experiment)).keys() == contents_of(data).keys()
    assert not [path for path in (tmp_path / "other").iterdir() if path.name.startswith(".")]
    again = open_bundle(io.BytesIO(data))
    assert again == experiment + 1 and reads.runs_of(again)[0].id == first[-1].run + 1


def deployed(run_id: int) -> str:
    return STRATEGIES[reads.run(run_id).strategy].deployed_variant()


def settled(row: dict) -> dict:
    return {**row, "worker_id": None, "stop_requested": False}


def test_the_adapter_that_training_started_from_comes_along(tiny, tmp_path, monkeypatch):
    [before] = run(changed(tiny, strategies=["fedit"]))
    export(before.run, tmp_path / "out")
    start = str(tmp_path / "out" / "clients" / "0")
    [after] = run(changed(tiny, strategies=["fedit"], start=start))
    data = bundle(reads.run(after.run).experiment_id)
    answers = ask.predict(after.run, 1, "global")
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "other"))
    [opened] = reads.runs_of(open_bundle(io.BytesIO(data)))
    kept = Path(opened.experiment.config["start"])
    assert kept.is_relative_to(tmp_path / "other" / "adapters")
    assert ask.predict(opened.id, 1, "global") == answers


def test_of_a_bundle_from_another_machine_the_device_is_one_of_this(whole, home):
    def elsewhere(rows: dict) -> None:
        rows["experiments"][0]["resolved"]["model"] |= {"device": "cuda", "dtype": "bfloat16"}

    experiment = open_bundle(io.BytesIO(packed(with_rows(whole, elsewhere))))
    model = reads.runs_of(experiment)[0].experiment.resolved["model"]
    assert (model["device"], model["dtype"]) == ("cpu", "float32")


def with_rows(contents: dict[str, bytes], change: Callable[[dict], object]) -> dict[str, bytes]:
    rows = json.loads(contents["rows.json"])
    change(rows)
    return {**contents, "rows.json": json.dumps(rows).encode()}


def with_tensors(contents: dict, name: str, change: Callable[[dict], object]) -> dict[str, bytes]:
    tensors = load(contents[name])
    change(tensors)
    return {**contents, name: save(tensors)}


def climbing(c: dict) -> bytes:
    return packed({**c, "../../evil.json": b"{}"})


def absolute(c: dict) -> bytes:
    return packed({**c, "/tmp/evil.json": b"{}"})


def linked(c: dict) -> bytes:
    buffer = io.BytesIO(packed(c))
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo("runs/1/link.safetensors")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def bomb(c: dict) -> bytes:
    return packed({**c, "rows.json": b" " * 50_000_000 + c["rows.json"]})


def lying(c: dict) -> bytes:
    data = bytearray(packed(c))
    struct.pack_into("<I", data, data.rfind(b"PK\x01\x02") + 24, 10)
    return bytes(data)


def too_large(c: dict) -> bytes:
    data = bytearray(packed(c))
    struct.pack_into("<I", data, data.rfind(b"PK\x01\x02") + 24, 2**32 - 2)
    return bytes(data)


def pickled(c: dict) -> bytes:
    return packed({**c, "runs/1/server-0016.pkl": pickle.dumps({})})


def pickle_in_disguise(c: dict) -> bytes:
    return packed({**c, PLORA: pickle.dumps({"weights": [1.0]})})


def swapped(c: dict) -> bytes:
    other = OWN.replace("/1/", "/2/").replace("runs/2", "runs/3")
    return packed({**c, OWN: c[other], other: c[OWN]}, named_anew=False)


def of_another_run(c: dict) -> bytes:
    return packed({**c, PLORA: c[FEDIT]})


def misshaped(c: dict) -> bytes:
    def turn(tensors: dict) -> None:
        name = next(iter(tensors))
        tensors[name] = np.ascontiguousarray(tensors[name].T)

    return packed(with_tensors(c, PLORA, turn))


def too_high_a_rank(c: dict) -> bytes:
    def widen(tensors: dict) -> None:
        tensors |= {name: np.concatenate([b, b], 1) for name, b in tensors.items()}

    return packed(with_tensors(c, PLORA, widen))


def lacking_a_tensor(c: dict) -> bytes:
    return packed(with_tensors(c, FEDIT, lambda tensors: tensors.pop(min(tensors))))


def of_another_model(c: dict) -> bytes:
    return packed(with_tensors(c, PLORA, lambda tensors: tensors.update(
        {"model.elsewhere.lora_B": next(iter(tensors.values()))})))  # fmt: skip


def in_halves(c: dict) -> bytes:
    return packed(with_tensors(c, PLORA, lambda tensors: tensors.update(
        {name: value.astype(np.float16) for name, value in tensors.items()})))  # fmt: skip


def newer(c: dict) -> bytes:
    about = json.loads(c["bundle.json"])
    return packed({**c, "bundle.json": json.dumps({**about, "step": "9999"}).encode()})


def without_a_file(c: dict) -> bytes:
    return packed({name: data for name, data in c.items() if name != OWN})


def with_a_stranger(c: dict) -> bytes:
    return packed({**c, "runs/7/server-0016.safetensors": c[PLORA]})


def choosing(**values: np.ndarray) -> Callable[[dict], bytes]:
    """The pLoRA run as one of a strategy that has clients choose, and what all of them chose."""

    def rename(r: dict) -> None:
        r["experiments"][0]["config"]["strategies"][2] = r["runs"][2]["strategy"] = "tap"

    chosen = {f"runs/3/clients/{k}/decision-0016.safetensors": save(values) for k in range(4)}
    return lambda c: packed({**with_rows(c, rename), **chosen})


def rows(change: Callable[[dict], object]) -> Callable[[dict], bytes]:
    return lambda c: packed(with_rows(c, change))


def setting(table: str, **values: object) -> Callable[[dict], bytes]:
    return rows(lambda r: r[table][-1].update(values))


def unknown_strategy(r: dict) -> None:
    r["experiments"][0]["config"]["strategies"][2] = r["runs"][2]["strategy"] = "telepathy"


def other_weights(r: dict) -> None:
    r["experiments"][0]["resolved"]["model"]["digest"] = "0" * 32


def infinite(c: dict) -> bytes:
    changed_rows = with_rows(c, lambda r: r["runs"][0].update(wall_seconds=12345))
    return packed({**c, "rows.json": changed_rows["rows.json"].replace(b"12345", b"1e999")})


BAD = {
    "nothing": (lambda c: b"", "not a whole bundle"),
    "text": (lambda c: b"hello", "not a whole bundle"),
    "cut off": (lambda c: packed(c)[:-500], "not a whole bundle"),
    "another zip": (lambda c: packed({"a.json": b"{}"}, named_anew=False), "has no bundle.json"),
    "climbs": (climbing, "leads out of the folder"),
    "absolute": (absolute, "leads out of the folder"),
    "a link": (linked, "is a link"),
    "a bomb": (bomb, "unpacks to far more"),
    "says less": (lying, "larger than it says|damaged"),
    "says more": (too_large, "unpacks to more than"),
    "pickle": (pickled, "never pickle"),
    "pickle called safetensors": (pickle_in_disguise, "is no file of tensors"),
    "swapped clients": (swapped, "is not what was bundled"),
    "another run's": (of_another_run, "holds 'lora_A', which does not belong there"),
    "misshaped": (misshaped, "has the shape"),
    "a higher rank": (too_high_a_rank, "has the shape"),
    "a tensor less": (lacking_a_tensor, "has no lora_A for the layer"),
    "another model's": (of_another_model, "here is no layer"),
    "half numbers": (in_halves, "numbers of the type F16"),
    "newer": (newer, "of a newer lab .step 9999"),
    "a file less": (without_a_file, "lacks runs/3/clients/1"),
    "a file more": (with_a_stranger, "belongs to no run"),
    "rows no JSON": (lambda c: packed({**c, "rows.json": b"{"}), "is no JSON"),
    "rows no rows": (lambda c: packed({**c, "rows.json": b"[1]"}), "no lists"),
    "unknown strategy": (rows(unknown_strategy), "strategies"),
    "other weights": (rows(other_weights), "another version of the bundled model"),
    "a sweep": (rows(lambda r: r["experiments"][0]["config"].update(repeats=3)), "of a sweep"),
    "a choice of nothing": (choosing(corner=np.array(0)), "what a client chose"),
    "a corner too far": (choosing(
        corner=np.array(9), own_weight=np.array(0.5, np.float32)), "what a client chose"),
    "a message of a strange kind": (rows(lambda r: r.update(crossings=[{
        "run_id": 1, "client": 0, "kind": "![](x)", "to_server": True, "messages": 1, "bytes": 1,
        "parts": {}}])), "no known kind"),
    "unknown key": (rows(lambda r: r["experiments"][0]["config"].update(fast=1)), "fast"),
    "two experiments": (rows(lambda r: r["experiments"].append(
        {**r["experiments"][0], "id": 2})), "2 experiments"),
    "the same run twice": (rows(lambda r: r["runs"].append(r["runs"][0])), "have the same id"),
    "two of a strategy": (rows(lambda r: r["runs"].append(
        {**r["runs"][0], "id": 9})), "two runs of one strategy|lacks"),
    "an unknown table": (rows(lambda r: r.update(secrets=[])), "no table 'secrets'"),
    "a column less": (rows(lambda r: [row.pop("loss") for row in r["evaluations"]]), "lacks eval"),
    "uneven columns": (rows(lambda r: r["rounds"][0].pop("epsilon")), "different columns"),
    "still running": (setting("runs", status="running"), "status 'running'"),
    "not as done as it says": (setting("runs", rounds_done=3), "done after 3 of 16"),
    "another number of rounds": (setting("runs", rounds=99), "of 16 rounds"),
    "a later round": (setting("evaluations", round=99), "of round 99 of 16"),
    "a missing round": (rows(lambda r: r["rounds"].pop()), "other rounds than it says"),
    "a strange client": (setting("predictions", client=99), "of client 99"),
    "a strange run": (setting("events", run_id=99), "of a run that is not in it"),
    "a strange variant": (setting("predictions", variant="best"), "variant 'best'"),
    "more than everything": (setting("evaluations", accuracy=7.0), "below 0 or above 1"),
    "no number": (setting("evaluations", loss="high"), "evaluations.loss is no number"),
    "a huge number": (setting("runs", peak_rss_mb=10**400), "no finite number"),
    "an infinite number": (infinite, "no finite number"),
    "a huge whole number": (setting("client_rounds", bytes_up=2**70), "too large"),
    "below nothing": (setting("client_rounds", samples=-1), "below 0"),
    "yes for a number": (setting("client_rounds", samples=True), "is no whole number"),
    "a long name": (setting("clients", name="x" * 81), "longer than 80"),
    "no time": (setting("events", at="soon"), "no time in UTC"),
    "words that are none": (setting("clients", words={"a": ["b"]}), "clients.words cannot be read"),
    "counts that are none": (setting("clients", answers={"a": "b"}), "answers cannot be read"),
    "tags that are none": (setting("experiments", tags=[1]), "experiments.tags cannot be read"),
    "a config that is none": (setting("experiments", config=[1]), "config cannot be read"),
    "a path for a digest": (rows(lambda r: r["experiments"][0]["resolved"]["data"].update(
        pictures="../../x")), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_broken_or_hostile_bundle_is_one_sentence_and_leaves_nothing(case, whole, home):
    make, words = BAD[case]
    home.mkdir(parents=True)
    around = sorted(path.name for path in home.parent.iterdir())
    with pytest.raises(BadBundle, match=words) as told:
        open_bundle(io.BytesIO(make(whole)))
    assert str(told.value).startswith("bundle: ") and "\n" not in str(told.value)
    assert not files_of(home) and not reads.runs()
    assert sorted(path.name for path in home.parent.iterdir()) == around


def test_what_fails_when_files_are_put_in_place_leaves_nothing(whole, home, monkeypatch):
    real = Path.rename

    def breaks(self: Path, target: Path) -> Path:
        if target.name == "2":
            raise OSError(28, "No space left on device", str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", breaks)
    with pytest.raises(OSError, match="No space"):
        open_bundle(io.BytesIO(packed(whole)))
    assert not files_of(home) and not reads.runs()


def test_an_experiment_that_runs_or_lacks_files_is_not_bundled(tiny, home):
    [fedit] = run(changed(tiny, strategies=["fedit"]))
    experiment = reads.run(fedit.run).experiment_id
    (run_folder(fedit.run) / "server-0002.safetensors").unlink()
    with pytest.raises(NotPossible, match="is gone: .*server-0002"):
        bundle(experiment)
    from db import writes

    config = ExperimentConfig.parse({"name": "waiting"}).model_dump(mode="json")
    waiting, _ = writes.create_experiment(config, {"fedit": 8})
    with pytest.raises(NotPossible, match="is not over"):
        bundle(waiting)
    with pytest.raises(NotPossible, match="there is no experiment 99"):
        bundle(99)


def test_the_commands_write_and_open_and_mistakes_end_with_2(whole, home, tmp_path, capsys):
    from engine.cli import main

    example.install()
    file = tmp_path / "experiment.zip"
    done = CliRunner().invoke(app, ["bundle", "1", str(file)])
    assert done.exit_code == 0 and "3.6 MB" in done.stdout
    done = CliRunner().invoke(app, ["open", str(file)])
    assert done.exit_code == 0 and done.stdout == "experiment 2: runs 4, 5, 6\n"
    assert not reads.run(4).experiment.bundled
    file.write_bytes(packed(whole)[:-500])
    for wrong, words in ((file, "not a whole bundle"), (tmp_path / "none", "no such file")):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr("sys.argv", ["engine", "open", str(wrong)])
            main.main()
        err = capsys.readouterr().err
        assert ended.value.code == 2 and err.count("\n") == 1 and words in err
