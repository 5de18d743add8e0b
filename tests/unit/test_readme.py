"""Every command of the README, and of the guide to more machines, exists; so do their files."""

import re
import shlex

import click
import pytest

from engine.cli import main
from engine.cli.options import config_of
from engine.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\.venv/bin/python -m engine (.+)$", README, re.MULTILINE)
OF_DEPLOY = re.findall(
    r"^(?:RAY_ADDRESS=\S+ )?\.venv/bin/python -m engine (.+)$", DEPLOY, re.MULTILINE
)


@pytest.mark.parametrize("line", COMMANDS + OF_DEPLOY)
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
    assert len(COMMANDS) >= 5 and len(OF_DEPLOY) >= 5
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets and all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
