# The jobs of the project: make demo, make test, make lint, make docs, make bench, make clean.

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

# Idle OpenMP threads that spin make torch many times slower on a busy machine; it must be set before torch is imported.
OMP_WAIT_POLICY ?= PASSIVE
export OMP_WAIT_POLICY

# Real images for the tests that need them; without the folder those tests are skipped and say so.
ifndef POTENCY_DATA
ifneq ($(wildcard ../shared/data/README.md),)
POTENCY_DATA := $(abspath ../shared/data)
export POTENCY_DATA
endif
endif

.PHONY: demo test lint docs bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	@$(BIN)/potency demo

test: $(VENV)/.installed-dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Strict: a warning is an error, and nothing is fetched from elsewhere.
docs: $(VENV)/.installed-docs
	@$(BIN)/python -m sphinx -q -n -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "$(abspath build/docs/index.html)"

bench: $(VENV)/.installed-bench
	@$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp a set of extras: rerun only when pyproject.toml is newer, and not trusted when an install was cut short.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing potency (the first time brings torch: several minutes) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing potency with the tools to test it (the first time brings torch: several minutes) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --editable ".[dev]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	@echo "installing potency with what builds its pages ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --editable ".[docs]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	@echo "installing potency with what the benchmarks compare it to ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --editable ".[bench]"
	@touch $@ $(VENV)/.installed

# PYTHON=... picks an interpreter by hand; else the first of these that is 3.11 or newer.
$(BIN)/python:
	@set -e; found=""; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "no Python 3.11 or newer was found" >&2; \
	  echo "where: $$(python3 --version 2>&1 || echo 'python3 is not on the PATH')" >&2; \
	  echo "mend: install Python 3.12 and call again, or name one: make demo PYTHON=/path/to/python3.12" >&2; \
	  exit 2; \
	fi; \
	$$found -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$$found cannot make a virtual environment" >&2; \
	  echo "where: $(VENV)" >&2; \
	  echo "mend: install its venv module (Debian, Ubuntu: apt install python3-venv) and call again" >&2; exit 2; }
