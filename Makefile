# make run       installs what is missing and opens the lab       PORT=8501 make run
# make test      installs what is missing and runs the tests      TESTERS=2 make test
# make test-all  the same, then the slow ones: benches, campaigns, more in a browser
# make federation  four sites on this machine, with TLS and keys, for runs with runtime=superlink
# make check     style, docstrings, import contracts, types       make setup  only installs

PORT ?= 8501
PYTHON ?= python3
# Processes of pytest-xdist, each on a core of its own.
TESTERS ?= 2
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n $(TESTERS) --dist loadscope --no-loadscope-reorder

.PHONY: setup run federation test test-all check browser

setup: .venv/installed

.venv/installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

run: setup
	$(BIN)/streamlit run app/main.py --server.port $(PORT)

federation: setup
	$(BIN)/python -m engine federation

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: setup browser
	$(PYTEST) -m "not slow"

test-all: test
	$(PYTEST) -m slow

# The browser tests need chromium; where there is neither chromium nor apt they are skipped.
browser:
	@command -v chromium >/dev/null || ! command -v apt-get >/dev/null || \
	  { SUDO=$$(test "$$(id -u)" = 0 || echo sudo -n); \
	    $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq chromium; } >/dev/null \
	  || echo "chromium could not be installed: the browser tests will be skipped"
