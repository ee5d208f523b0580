# One command each. `make demo` and `make test` make .venv themselves; PYTHON=python3.12 picks another Python.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help install demo test test-long format check ui flow stack remote lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH := 2.13.0 # the release that the lock is tested with; the package itself allows newer ones
UV := 0.13.9
UI_PORT ?= 5000
# Tests of one file share their set-up, so a file stays on one worker; workers are the parallelism, not threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile

# Nothing we start reports on its user, and programs of .venv (dvc, mcld) are found by name.
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_HOME ?= $(CURDIR)/.prefect
export PREFECT_LOGGING_EXTRA_LOGGERS := mcld
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1
export ORT_DISABLE_TELEMETRY := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(INSTALLED) ## .venv with the exact versions of requirements.lock

# uv installs the lock in a fraction of pip's time. PyTorch comes by pip, whose configuration is where a machine says which
# build of it to take; where only pip knows a way to packages (a mirror in pip.conf), pip does the rest too.
# The stamp comes last and names what it was made from: a half-made .venv is finished by the next run.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python >= 3.11 is needed and $(PYTHON) is {v[0]}.{v[1]}; make PYTHON=python3.11 …")'
	@rm -f $@
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet 'uv==$(strip $(UV))' "$$(grep '^torch==' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock \
	  || $(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/python -m pip check
	@touch $@

demo: $(INSTALLED) ## the whole pipeline on the embedded people: data to report
	$(BIN)/dvc repro
	@$(BIN)/mcld summary

flow: $(INSTALLED) ## the same pipeline, run by Prefect
	$(BIN)/python -m flows.pipeline

test: $(INSTALLED) ## all tests but those that take minutes
	$(PYTEST) -m 'not long'

test-long: $(INSTALLED) ## those: the stack, flow runs interrupted, Ray, the remote, models made again
	$(PYTEST) -m long

format: $(INSTALLED) ## rewrite the code in the house format
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

check: $(INSTALLED) ## format, lint, types, import layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m 'not long'

ui: $(INSTALLED) ## MLflow's page on what this workspace logged (loopback only)
	$(BIN)/mlflow ui --host 127.0.0.1 --port $(UI_PORT) --backend-store-uri sqlite:///mlflow.db

remote: $(INSTALLED) ## DVC's remote: name it (MCLD_REMOTE_URL=s3://bucket/folder), check it, say what it holds
	@$(BIN)/python -m flows.remote

stack: $(INSTALLED) ## the team's services on this machine, until Ctrl-C (loopback only; infra/README.md)
	@exec $(BIN)/python -m infra.stack

lock: $(INSTALLED) ## make requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --report - 'torch==$(strip $(TORCH))' '.[dev]' \
	  | $(BIN)/python infra/lock.py requirements.lock

clean: ## remove caches of the tools; data, models and .venv stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	find mcld flows tests benchmarks infra -name __pycache__ -type d -prune -exec rm -rf {} +
