"""A report as one HTML file: nothing is fetched, and everything from outside is escaped.

Jinja escapes what is text; figures are JSON in which no tag can end. The page allows only its own
scripts to run, by their digests.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from engine.results.report.contents import Contents
from engine.results.report.experiment import experiment_contents
from engine.results.report.sweep import sweep_contents
from engine.system.files import write_whole

_FOLDER = Path(__file__).parent
_NO_TAG = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


def report(experiment_id: int) -> str:
    """Return the report of an experiment. Raises NotPossible, ConfigError."""
    return _page(experiment_contents(experiment_id))


def sweep_report(sweep_id: int) -> str:
    """Return the report of a sweep. Raises NoSuchSweep, NotPossible, ConfigError."""
    return _page(sweep_contents(sweep_id))


def write_report(html: str, path: Path) -> int:
    """Write a report, whole or not at all; return its size in bytes. Raises OSError."""
    data = html.encode("utf-8")
    write_whole(path, data)
    return len(data)


def _page(contents: Contents) -> str:
    scripts = [get_plotlyjs(), (_FOLDER / "page.js").read_text(encoding="utf-8")]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        _environment()
        .get_template("page.html")
        .render(
            contents=contents,
            style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
            scripts=[Markup(script) for script in scripts],
            allowed=allowed,
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure_json
    return environment


def _figure_json(figure: go.Figure) -> Markup:
    """Return a figure as JSON that may stand in a script element."""
    return Markup(figure.update_layout(template="none").to_json().translate(_NO_TAG))


def _digest(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()
