"""Every command of the README is one that exists, and its files are there."""

import re
import shlex

import click
import pytest

from engine.cli import main
from engine.cli.options import config_of
from engine.paths import ASSETS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\.venv/bin/python -m engine (.+)$", README, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_engine_commands_parse(line):
    import typer.main

    name, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(main.app).commands[name]
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    context = command.make_context(name, arguments)  # raises on an unknown option
    if {"preset", "set_"} <= context.params.keys():
        parameters = context.params
        config_of(parameters["preset"], changes=parameters["set_"])


def test_there_are_commands_and_all_linked_files_exist():
    assert len(COMMANDS) >= 5
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets and all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_figures_are_those_of_the_benchmark():
    written = (ROOT / "benchmarks" / "QUICKSTART.md").read_text(encoding="utf-8")
    means = re.findall(r"^\| mean \|(.+)$", written, re.MULTILINE)
    assert len(means) == 2
    for row in means:
        base, fedit, plora = (cell.strip() for cell in row.split("|")[:3])
        assert f"| {base} | {fedit} | {plora} |" in README
    card = (ASSETS / "MODEL_CARD.md").read_text(encoding="utf-8")
    overall = re.search(r"\*\*overall\*\* \| \*\*(.+?)\*\*", card).group(1)
    assert f"answers {overall} of neutral held-out questions rightly" in README
