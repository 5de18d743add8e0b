"""What of a home can go, and what never goes: what a run needs."""

import os
import time
from pathlib import Path

import pytest

from db import keeping, reads, writes
from db.tables import now
from engine.jobs import queue
from engine.jobs.queue import NotPossible
from engine.paths import run_folder
from engine.results import example, housekeeping
from engine.results.housekeeping import WEEK, clean, delete, holdings, lossless, restore
from tests.helpers.stored import give_files, store


def part(kind: str) -> housekeeping.Holding:
    return next(holding for holding in holdings() if holding.kind == kind)


def old(path: Path) -> Path:
    """Make a file or folder two days old."""
    past = time.time() - 2 * 24 * 3600
    os.utime(path, (past, past))
    return path


def made(path: Path, folder: bool = True) -> Path:
    """Make a folder with a file of 100 bytes in it, or such a file, two days old."""
    file = path / "file" if folder else path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * 100)
    return old(path)


def test_a_deleted_run_is_shown_nowhere_and_comes_back_whole():
    [kept], [gone] = store(name="kept"), store(name="gone")
    give_files(gone)
    assert delete([gone]) == [gone]
    assert [run.id for run in reads.runs()] == [kept]
    assert [row.name for row in reads.experiment_names()] == ["kept"]
    assert [run.id for run in reads.done_runs()] == [kept] and reads.done_count() == 1
    assert reads.runs_of(2) == [] and len(reads.latest_experiments(9)) == 1
    for read in (reads.run, reads.summary, lambda number: reads.chosen_runs([number])):
        with pytest.raises(reads.NoSuchRun):
            read(gone)
    with pytest.raises(reads.NoSuchRun):
        queue.resume(gone)
    assert len(list(run_folder(gone).rglob("*.safetensors"))) == 7, "its files are still there"
    assert restore([gone]) == [gone]
    assert reads.summary(gone).personal_accuracy == 0.5 and len(reads.rounds(gone)) == 2


def test_what_works_waits_or_is_the_example_is_not_deleted():
    [queued], [running] = store(status="queued"), store(status="running")
    example.install()
    bundled = reads.bundled_runs()[0].id
    for run, words in ((queued, "is queued; stop it"), (running, "is running"), (bundled, "stays")):
        with pytest.raises(NotPossible, match=words):
            delete([run])
    assert keeping.delete_runs([queued, running, bundled]) == [], "nor in a race"


def test_a_deleted_run_goes_for_good_when_the_home_is_cleaned_and_its_number_is_not_given_again():
    [first], [last] = store(), store()
    give_files(first)
    give_files(last)
    delete([first, last])
    assert part("deleted").bytes == 1400
    assert clean(["deleted"]) == 1400
    assert not run_folder(first).exists() and not run_folder(last).exists()
    with pytest.raises(NotPossible, match=f"run {last} is not among the deleted"):
        restore([last])
    assert reads.rounds(last) == [] and keeping.known_run_ids() == {last}
    assert store()[0] == last + 1


def test_what_was_deleted_goes_by_itself_after_a_week(monkeypatch):
    [run] = store()
    give_files(run)
    delete([run])
    assert housekeeping.forget_old() == 0
    monkeypatch.setattr(housekeeping, "now", lambda: now() + WEEK)
    assert housekeeping.forget_old() == 700 and not run_folder(run).exists()


def test_of_a_finished_run_only_the_last_round_stays_and_of_others_all():
    [done], [stopped] = store(), store(status="stopped")
    give_files(done)
    give_files(stopped)
    skipped = run_folder(done) / "clients" / "1" / "personal-0002.safetensors"
    skipped.unlink()  # a client that skipped the last round: its older file is its newest
    assert part("rounds").bytes == 200 and clean(["rounds"]) == 200
    left = {str(p.relative_to(run_folder(done))) for p in run_folder(done).rglob("*.safetensors")}
    assert left == {
        "initial.safetensors",
        "server-0002.safetensors",
        "clients/0/personal-0002.safetensors",
        "clients/1/personal-0001.safetensors",
    }
    assert len(list(run_folder(stopped).rglob("*.safetensors"))) == 7


def test_models_go_only_when_they_are_named_and_those_of_others_never():
    [done], [stopped] = store(), store(status="interrupted")
    for run in (done, stopped):
        give_files(run)
    example.install()
    bundled = run_folder(reads.bundled_runs()[0].id)
    before = housekeeping.size(bundled)
    clean(lossless(holdings()))
    assert (run_folder(done) / "server-0002.safetensors").exists()
    assert part("models").loses and "not be asked" in part("models").told
    clean(["models"])
    assert not list(run_folder(done).rglob("*.safetensors"))
    assert len(list(run_folder(stopped).rglob("*.safetensors"))) == 7
    assert housekeeping.size(bundled) == before and before
    assert reads.summary(done).personal_accuracy == 0.5


def test_data_and_adapters_stay_while_an_experiment_or_the_form_names_them(home):
    data = {name: made(home / "datasets" / name) for name in ("used", "form", "free", "hub-a")}
    fresh = home / "datasets" / "fresh"
    fresh.mkdir()
    adapters = {name: made(home / "adapters" / name) for name in ("used", "free")}
    store(dataset=f"folder:{data['used']}/inner", start=str(adapters["used"]))
    [hub] = store(dataset="hub:owner/name")
    writes.ask_to_prepare({"dataset": f"folder:{data['form']}"})
    assert part("data").paths == (data["free"],) and part("adapters").paths == (adapters["free"],)
    delete([hub])
    assert part("data").paths == (data["free"],), "a run that can come back needs its data"
    clean(["deleted", "data", "adapters"])
    assert sorted(p.name for p in (home / "datasets").iterdir()) == [
        "form",
        "fresh",
        "hub-a",
        "used",
    ]
    clean(["data"])
    assert not data["hub-a"].exists() and not adapters["free"].exists()


def test_encoded_sets_stay_while_a_run_waits_and_go_else(home):
    encoded = made(home / "cache" / "encoded" / "m" / "a.safetensors", folder=False)
    [waiting] = store(status="queued")
    assert part("cache").stays and "cache" not in lossless(holdings())
    with pytest.raises(NotPossible, match="cache stays, because a run is at work"):
        clean(["cache"])
    queue.stop(waiting)
    assert clean(["cache"]) == 100 and not encoded.exists()


def test_leftovers_are_old_and_nobodys(home):
    [run] = store()
    give_files(run)
    half = made(run_folder(run) / "server-0002-ab.tmp", folder=False)
    ownerless, export = made(home / "runs" / "99"), made(home / "export-x.zip", folder=False)
    (home / "export-now.zip").write_bytes(b"x")
    assert set(part("leftovers").paths) == {half, ownerless, export}
    clean(["leftovers"])
    assert (home / "export-now.zip").exists() and run_folder(run).exists() and not half.exists()


def test_a_home_is_not_cleaned_by_another_database(monkeypatch, tmp_path):
    store()
    monkeypatch.setenv("FEDVLM_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(NotPossible, match="has a database of its own"):
        holdings()


def test_an_unknown_part_is_refused_before_anything_goes():
    with pytest.raises(NotPossible, match="there is no 'everything'; allowed: deleted, rounds"):
        clean(["deleted", "everything"])
