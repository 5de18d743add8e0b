"""What lint-imports does not see: torch in pages, doors, what must never be in the house."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

from engine.paths import QUIET, ROOT

ROOMS = ("app", "pages", "db", "engine")
SOURCES = {
    str(path.relative_to(ROOT)): path for room in ROOMS for path in (ROOT / room).rglob("*.py")
}
HEAVY = {"torch", "transformers", "peft"}


def parsed(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


def imports(nodes: list[ast.stmt] | Iterator[ast.AST]) -> set[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_pages_import_no_torch_at_the_top():
    for name in SOURCES:
        if name.startswith(("app/", "pages/")):
            assert not roots(imports(parsed(name).body)) & HEAVY, name


def test_pages_write_no_sql():
    for name in SOURCES:  # lint-imports knows no scripts: pages/ is no package
        if name.startswith("pages/"):
            assert "sqlalchemy" not in roots(imports(ast.walk(parsed(name)))), name


def doors() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions that import the lab's own modules."""
    for name in SOURCES:
        for function in ast.walk(parsed(name)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and roots(
                imports(ast.walk(function))
            ) & set(ROOMS):
                yield name, function


def test_own_modules_are_imported_inside_of_at_most_ten_doors_that_say_so():
    found = list(doors())
    named = [f"{name}: {function.name}" for name, function in found]
    assert len(found) <= 10, named
    for name, function in found:
        assert "door" in (ast.get_docstring(function) or "").lower(), f"{name}: {function.name}"


def test_there_is_no_pickle_no_remote_code_and_no_swallowed_fault():
    for name, path in SOURCES.items():
        text = path.read_text(encoding="utf-8")
        assert "pickle" not in roots(imports(ast.walk(parsed(name)))), name
        assert not re.search(r"trust_remote_code=True|except Exception:\s*pass", text), name


def python(code: str, **environment: str) -> str:
    """Run code in a process of its own; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_worker_imports_only_what_the_world_needs_and_spares_it_the_collector():
    code = """
import gc, json, sys
from engine.jobs.door import execution
execution()
frozen, enabled = gc.get_freeze_count(), gc.isenabled()
circle = []
circle.append(circle)
del circle
collected = gc.collect()
execution()
again = gc.get_freeze_count()
import engine.fl.context
print(json.dumps([list(sys.modules), frozen, enabled, collected, again]))
"""
    modules, frozen, enabled, collected, again = json.loads(python(code).splitlines()[-1])
    assert not {"datasets", "flwr_datasets", "matplotlib", "rouge_score"} & set(modules)
    assert enabled and frozen > 100_000 and collected > 0
    assert again == frozen, "what came later is not kept from it"


def test_pages_render_without_importing_torch(home):
    code = """
import sys
from streamlit.testing.v1 import AppTest
import engine.jobs.queue as queue
queue.spawn_worker = lambda: None
for page in ("start", "setup", "live", "clients", "ask", "runs"):
    app = AppTest.from_file("app/main.py", default_timeout=60)
    app.switch_page(f"../pages/{page}.py")
    app.run()
    assert not app.exception, (page, app.exception)
    assert "torch" not in sys.modules, page
"""
    python(code, FEDVLM_HOME=str(home))


def test_nothing_reports_home():
    for name, value in QUIET.items():
        assert os.environ[name] == value
    config = (ROOT / "app" / ".streamlit" / "config.toml").read_text()
    assert "gatherUsageStats = false" in config and 'address = "127.0.0.1"' in config
