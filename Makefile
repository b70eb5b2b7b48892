# One command each. Every target makes the virtual environment that it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: help demo test check scripted real accuracy sweep faults guards bench

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Andon needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(BIN)/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[demo]'
	@touch $@

$(VENV)/dev.stamp: $(BIN)/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[demo,dev]'
	@touch $@ $(VENV)/run.stamp

demo: $(VENV)/run.stamp  ## a whole factory at work on a sample project (ARGS=--no-tui for plain lines)
	@$(BIN)/andon demo $(ARGS)

check: $(VENV)/dev.stamp  ## style, types and walls
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: scripted real  ## all tests and the checks of the house

scripted: check  ## the checks of the house, and the tests without any real agent CLI
	$(BIN)/pytest -n 2 --dist worksteal -m "not real" $(ARGS)

real: $(VENV)/dev.stamp  ## real agent CLIs on a scripted model, one at a time; npm installs them once into .cache
	$(BIN)/python tests/realkit.py
	$(BIN)/pytest -m real -rs $(ARGS)

accuracy: $(VENV)/dev.stamp  ## how right the factory is about what agents do: recorded and random streams, beside two peers' rules
	$(BIN)/python tests/accuracy/accuracy.py $(ARGS)

sweep: $(VENV)/dev.stamp  ## kill -9 at every fault point, judged by an independent checker
	$(BIN)/python tests/fault/sweep.py $(ARGS)

faults: $(VENV)/dev.stamp  ## what may break, row by row, at full length (ARGS=--list prints the table only)
	$(BIN)/python tests/fault/faults.py $(ARGS)

guards: $(VENV)/dev.stamp  ## each guard of isolation taken away in a copy: its tests must miss it (ARGS=--list, --only WORD)
	$(BIN)/python tests/fault/guards.py $(ARGS)

bench: $(VENV)/dev.stamp  ## the figures of BENCHMARKS.md
	@for bench in tests/bench/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench $(ARGS) || exit 1; done

