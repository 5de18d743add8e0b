"""How many threads pay is measured from what others take of the cores."""

from collections import namedtuple

import pytest

from engine.system import load
from engine.system.load import LoadMeter, _Sample

Times = namedtuple("Times", "user nice system idle iowait guest")


@pytest.fixture
def machine(monkeypatch):
    """A machine of 4 cores whose clock and work a test sets."""
    now = {"clock": 0.0, "all": 0.0, "own": 0.0}
    monkeypatch.setattr(load, "_sample", lambda: _Sample(**now))
    monkeypatch.setattr(load.time, "monotonic", lambda: now["clock"])
    monkeypatch.setattr(load, "cores", lambda: 4)
    return now


def after(machine, seconds: float, own: float, others: float) -> None:
    """Let time pass in which this process and others work so many seconds."""
    machine["clock"] += seconds
    machine["own"] += own
    machine["all"] += own + others


@pytest.mark.parametrize(
    ("others", "threads"), [(0.0, 4), (0.3, 4), (0.5, 3), (1.0, 3), (2.0, 2), (3.5, 1), (4.0, 1)]
)
def test_threads_are_what_others_leave(machine, others, threads):
    meter = LoadMeter()
    after(machine, 1.0, 4 - others, others)
    assert meter.free_cores() == threads


def test_a_process_alone_has_all_cores_though_it_uses_them_all(machine):
    meter = LoadMeter()
    for _ in range(3):
        after(machine, 1.0, 4.0, 0.0)
        assert meter.free_cores() == 4


def test_it_follows_in_the_middle_of_a_run_but_does_not_measure_at_every_step(machine):
    meter = LoadMeter()
    after(machine, 1.0, 4.0, 0.0)
    assert meter.free_cores() == 4
    after(machine, 0.1, 0.0, 0.4)
    assert meter.free_cores() == 4, "too soon to tell"
    after(machine, 0.9, 2.0, 1.6)
    assert meter.free_cores() == 2
    after(machine, 1.0, 1.0, 0.0)
    assert meter.free_cores() == 4, "the others have gone"


def test_waiting_for_a_disk_and_a_guests_time_are_no_work():
    assert load._busy(Times(user=3, nice=1, system=2, idle=9, iowait=5, guest=2)) == 6


def test_the_machine_itself_can_be_measured():
    sample = load._sample()
    assert sample.all > 0 and sample.own > 0 and LoadMeter().free_cores() >= 1
