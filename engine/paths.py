"""Where things are, and the environment that keeps everything on this machine."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
BUNDLED_MODEL = ASSETS / "model"
EXAMPLE = ASSETS / "example"

# No telemetry, no update check, no dependency installation. Set before flwr is imported.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class BadEnvironment(ValueError):
    """What an environment variable asks for cannot be had, in one sentence that names it."""


def home() -> Path:
    """Return the folder of all state, ``FEDVLM_HOME`` or ``var/`` in the repo; made if missing.

    Raises BadEnvironment where it cannot be made.
    """
    folder = os.environ.get("FEDVLM_HOME") or ROOT / "var"
    try:
        path = Path(folder).expanduser().resolve()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # a file, no permission, nobody's home
        reason = getattr(error, "strerror", None) or error
        raise BadEnvironment(f"FEDVLM_HOME: {folder} cannot be a folder ({reason})") from None
    return path


def run_folder(run: int) -> Path:
    """Where one run keeps its checkpoints and its clients' personal factors."""
    return home() / "runs" / str(run)


def keep_quiet() -> None:
    """Switch off what would send anything out, unless the user has said otherwise."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("FLWR_HOME", str(home() / "flwr"))
