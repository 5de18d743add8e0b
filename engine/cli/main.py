"""The command line: ``python -m engine --help``.

Exit status: 0 done, 1 a run failed, 2 unusable arguments or config (one line on stderr says why).
"""

from __future__ import annotations

import sys

import click
import typer

from db import reads
from db.engine import DatabaseTooNew
from db.sweeps import NoSuchSweep
from engine.cli.bench import bench
from engine.cli.federation import federations
from engine.cli.home import keeping
from engine.cli.models import models
from engine.cli.pretrain import pretraining
from engine.cli.results import results
from engine.cli.runs import runs
from engine.cli.share import share
from engine.cli.sweeps import sweeps
from engine.cli.verdict import verdicts
from engine.config import ConfigError
from engine.data.pictures import BadPicture
from engine.jobs import queue
from engine.paths import BadEnvironment
from engine.results.bundle.rows import BadBundle
from engine.system.faults import RunFailed

app = typer.Typer(
    help="FedVLM Lab: federated fine-tuning of vision-language models with personalised LoRA.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (runs, models, verdicts, results, share, sweeps, keeping, pretraining, federations):
    app.add_typer(group)
app.add_typer(bench, name="bench")
UserMistake = (
    *(ConfigError, BadEnvironment, DatabaseTooNew),
    *(reads.NoSuchRun, NoSuchSweep, queue.NotPossible, BadPicture, BadBundle, RunFailed),
)


def main() -> None:
    """Run a command; turn every user's mistake into one line on stderr and exit status 2."""
    try:
        status = app(standalone_mode=False, prog_name="python -m engine")
    except UserMistake as mistake:
        status = _complain(str(mistake))
    except OSError as mistake:  # a path that cannot be read or written, in an argument or below
        if mistake.filename is None:
            raise
        status = _complain(f"{mistake.filename}: {(mistake.strerror or 'cannot be used').lower()}")
    except click.ClickException as mistake:
        status = _complain(mistake.format_message())
    except (click.Abort, KeyboardInterrupt):
        status = _complain("interrupted", status=130)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(sentence: str, status: int = 2) -> int:
    typer.echo(f"error: {sentence}", err=True)
    return status
