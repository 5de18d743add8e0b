"""The walls of the house, and what must never be in it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.paths import QUIET, ROOT

SOURCES = [p for part in ("app", "pages", "db", "engine") for p in (ROOT / part).rglob("*.py")]


def imports(path: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_stays_on_its_side(path):
    part = path.relative_to(ROOT).parts[0]
    used = roots(imports(path))
    if part in ("engine", "db"):
        assert not used & {"streamlit", "app", "pages"}
    if part in ("app", "pages"):
        assert not roots(imports(path, top_only=True)) & {"torch", "transformers", "peft"}
    if part != "db":
        assert "sqlalchemy" not in used
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^import pickle|trust_remote_code=True|except Exception:\s*pass", text)


def test_a_worker_for_the_world_imports_no_libraries_for_other_data():
    code = (
        "import sys; from engine.jobs.worker import warm_up; warm_up(); import engine.fl.context;"
        "assert not {'datasets', 'flwr_datasets', 'matplotlib', 'rouge_score'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["start", "setup", "live"])
def test_pages_render_without_importing_torch(page, home):
    code = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        "import engine.jobs.submit as l; l.spawn_worker = lambda: None;"
        f"app = AppTest.from_file('app/main.py', default_timeout=60);"
        f"app.switch_page('../pages/{page}.py'); app.run();"
        "assert not app.exception, app.exception; assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "FEDVLM_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_nothing_reports_home():
    for name, value in QUIET.items():
        assert os.environ[name] == value
    config = (ROOT / "app" / ".streamlit" / "config.toml").read_text()
    assert "gatherUsageStats = false" in config and 'address = "127.0.0.1"' in config
