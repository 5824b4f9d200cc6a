# Everything that a fresh machine needs is done here: Python 3.11 or later and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
# Test processes share the cores; two threads each would spin against one another. Each takes its part of the tests as
# they come, so that what a file's tests share is made once, and helps the others out at the end.
TWO := -n 2 --dist worksteal
# One more than the cores: tests wait as well, for disks, browsers and other processes.
THREE := -n 3 --dist worksteal
# Compiled tests and modules are kept, also where the environment forbids it: else each process compiles them anew.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest

.PHONY: setup demo docs test test-slow test-hostile test-lowest check format clean

setup: $(STAMP) $(VENV)/.browser

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The studio's browser tests drive a Chromium: one that is there, or Debian's.
$(VENV)/.browser: $(STAMP)
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
	  || { test "$$(id -u)" = 0 && { apt-get update && apt-get install -y chromium; } >/dev/null 2>&1; } \
	  || echo "no chromium or google-chrome here, nor root and apt-get to install one: browser tests will be skipped" >&2
	@touch $@

demo: setup
	rm -rf $(DEMO)
	$(BIN)/maskmixadv demo --out $(DEMO)

test: setup
	$(PYTEST) $(THREE) $(ARGS)

test-slow: setup
	$(PYTEST) -m slow $(TWO)

# An hour: 100,000 damaged files, 200 kills, full disks of all sizes.
test-hostile: setup
	$(PYTEST) -m hostile $(TWO) -s

# The oldest versions that pyproject.toml allows, in an environment of their own.
LOWEST ?= .venv-lowest
TORCH ?= 2.13.0
test-lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(PYTHON) tests/shared/lowest_versions.py > $(LOWEST)/pins.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/pins.txt torch==$(TORCH) -e '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/pytest $(TWO)

# The site: docs/_build/html/index.html. A warning, such as a link that leads nowhere, is an error.
docs: setup
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -n -W --keep-going -d docs/_build/trees docs docs/_build/html

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(LOWEST) $(DEMO) docs/_build docs/api/made .pytest_cache .ruff_cache .hypothesis .import_linter_cache
