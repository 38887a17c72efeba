# `make study` and `make test` set up everything they need in .venv: Python 3.11 or newer, pip and make suffice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: study test test-slow test-all lint figures sentences bench clean

study: $(STAMP)
	$(BIN)/estimlab run quickstart
	$(BIN)/estimlab figure quickstart

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: $(STAMP)  # annotations are executed in the fast tier
	ESTIMLAB_ANNOTATIONS=0 $(BIN)/python -m pytest -n auto --dist worksteal -m slow

test-all: test test-slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: $(STAMP)
	$(BIN)/estimlab figure --all

sentences: $(STAMP)
	$(BIN)/python -m studies.statements
	$(BIN)/python tests/readme_tables.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(if $(AGAINST),--against $(AGAINST))

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "estimlab needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,data]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) studies/.store
