"""README's commands, run one after another as they stand there, in a fresh home."""

import shlex
import sys

import pytest

from db import reads
from engine.cli import main
from engine.paths import ROOT
from engine.presets import PRESETS
from tests.unit.test_readme import COMMANDS

TOO_LONG = ("bench", "pretrain")  # tested part by part
SHORT = {"rounds": 2, "local_steps": 2}  # instead of a preset's own: the commands are what is tried
ELSEWHERE = ("~/pictures", "vqa-rad")  # needs data that are not here
ENGINES = ("--runtime",)  # tested in tests/unit/fl/test_runtimes.py


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_work_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for preset in PRESETS:
        monkeypatch.setitem(PRESETS, preset, PRESETS[preset] | SHORT)
    done = []
    for line in COMMANDS:
        name, *arguments = shlex.split(line, comments=True)
        if name in TOO_LONG or any(word in line for word in (*ELSEWHERE, *ENGINES)):
            continue
        arguments = [argument.replace("var/", f"{tmp_path}/") for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["engine", name, *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        assert not ended.value.code, f"{line}: {err}"
        assert out, line
        done.append(name)
    assert {"run", "submit", "runs", "show", "predict", "matrix", "ask", "export", "import"} <= set(
        done
    )
    assert (tmp_path / "adapters" / "clients" / "0" / "adapter_config.json").exists()
    assert reads.run(2).status == "done"
