"""benchmarks/results.json, in which every measurement of methods has parts of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.paths import ROOT

OUT = ROOT / "benchmarks"


def read(folder: Path) -> dict[str, Any]:
    """Return all parts; nothing where there is no such file."""
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def put(values: dict[str, Any], folder: Path) -> None:
    """Write these parts anew and leave what others have written."""
    path = folder / "results.json"
    path.write_text(json.dumps(read(folder) | values, indent=1) + "\n", encoding="utf-8")
