"""The promise of the quickstart, on the command line, as a newcomer runs it."""

import json
import os
import subprocess
import sys

import pytest

from engine.paths import ROOT


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_personalised_beats_global_where_sites_disagree(home):
    done = subprocess.run(
        [sys.executable, "-m", "engine", "run", "--preset", "quickstart", "--json"],
        cwd=ROOT, env={**os.environ, "FEDVLM_HOME": str(home)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    local, fedit, plora = json.loads(done.stdout.splitlines()[-1])["runs"]
    assert {run["status"] for run in (local, fedit, plora)} == {"done"}
    assert (local["bytes_up"], local["global_accuracy"]) == (0, None)
    assert plora["personal_accuracy"] >= fedit["global_accuracy"] + 0.10
    assert fedit["global_accuracy"] > fedit["base_accuracy"]
    assert plora["bytes_up"] * 2 == fedit["bytes_up"]
