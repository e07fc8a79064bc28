# Everything runs in .venv, made from the pinned constraints by the first command that needs it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo docs test lint bench-accuracy clean
help:            ## list these commands
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

install: $(STAMP)  ## set up .venv with everything, from constraints.txt
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,cells,omics,cdm,serve,dev]'
	@touch $@

demo: $(STAMP)   ## the whole way on the embedded cohort: simulate, train, compare, promote, serve, predict
	$(BIN)/sequela demo

docs: $(STAMP)   ## the documentation as a site, in docs/_build
	$(BIN)/sphinx-build -W -q docs docs/_build
	@echo docs/_build/index.html

test: $(STAMP)   ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(STAMP)   ## format, lint, types, contracts, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

bench-accuracy: $(STAMP)  ## our models and their peers on public competing-risks tables, into benchmarks/results/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.accuracy

clean:           ## remove .venv, stores and caches
	rm -rf $(VENV) docs/_build docs/reference/generated .sequela .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
