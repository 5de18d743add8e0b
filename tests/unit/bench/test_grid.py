"""Many runs for one measurement, in processes of their own."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from engine.paths import ROOT
from engine.system.supervisor import is_running
from tests.conftest import wait_for

_GRID = """
from engine.bench.grid import run_grid
from engine.config import ExperimentConfig

if __name__ == "__main__":
    run_grid("endless", [ExperimentConfig(strategies=["fedit"], rounds=200)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_nothing_goes_on_when_the_bench_is_killed(home, tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(_GRID)
    bench = subprocess.Popen(
        [sys.executable, script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: any((home / "runs").glob("*/*")))
        family = psutil.Process(bench.pid).children(recursive=True)
        assert family
    finally:
        bench.send_signal(signal.SIGKILL)
        bench.wait()
    wait_for(lambda: not any(map(is_running, family)))
