# make run    installs what is missing and opens the lab       PORT=8501 make run
# make test   installs what is missing and runs the tests
# make check  style and typed signatures                        make setup  only installs

PORT ?= 8501
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test check browser

setup: .venv/installed

.venv/installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

run: setup
	$(BIN)/streamlit run app/main.py --server.port $(PORT)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: setup browser
	$(BIN)/python -m pytest

# The browser tests need chromium; where there is neither chromium nor apt they are skipped.
browser:
	@command -v chromium >/dev/null || ! command -v apt-get >/dev/null || \
	  { SUDO=$$(test "$$(id -u)" = 0 || echo sudo -n); \
	    $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq chromium; } >/dev/null \
	  || echo "chromium could not be installed: the browser tests will be skipped"
