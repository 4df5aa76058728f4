# One door for every command. `make help` lists them; CI runs the same ones.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)
PORT ?= 8080
DATA ?= data
SPEED ?= 1.0
PYTEST_WORKERS ?= 2
CHAOS_ROUNDS ?= 50
FUZZ_EXAMPLES ?= 100
FUZZ_SEED := $(or $(FUZZ_SEED),$(shell date +%s))

.PHONY: help setup run servers test lint types layers contract unit format generate lock bench chaos fuzz clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(VENV)/.installed ## install everything into .venv, start nothing

# The lock holds versions and hashes; the registry is whichever the machine's pip is set up for.
$(VENV)/.installed: requirements.lock pyproject.toml sdk/python/pyproject.toml sdk/python-producer/pyproject.toml
	@python=$$(for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	   if command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then command -v $$p; break; fi; done); \
	 test -n "$$python" || { echo "Python 3.11 or newer with venv is needed: 'apt install python3-venv' on Debian, 'brew install python' on macOS." >&2; exit 1; }; \
	 test -x $(BIN)/python || "$$python" -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing into $(VENV) …"
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps -e . -e sdk/python -e sdk/python-producer
	@touch $@

run: setup ## start the platform on this machine (PORT, DATA, SPEED)
	@exec $(BIN)/session-platform up --insecure --port $(PORT) --data $(DATA) --simulator-speed $(SPEED)

test: setup lint types layers contract unit ## every check

lint: setup ## ruff: rules and format
	ruff check .
	ruff format --check .

types: setup ## mypy --strict
	mypy src sdk/python/src sdk/python-producer/src proto-common tests benchmarks

layers: setup ## who may import whom
	lint-imports --no-cache

contract: setup ## buf lint, buf breaking, drift of everything generated from the protobuf files
	buf lint proto-common
	buf breaking proto-common --against proto-common/baseline.binpb
	PYTHONPATH=proto-common python -m generator --check

servers: setup ## obtain PostgreSQL, Redis and Kafka for the tests; start nothing
	python -m tests.servers

unit: setup servers ## pytest
	pytest -q -n $(PYTEST_WORKERS) --dist worksteal

format: setup ## let ruff mend what it can
	ruff check --fix .
	ruff format .

generate: setup ## generate everything that comes from the protobuf files
	PYTHONPATH=proto-common python -m generator

lock: setup ## pin the newest versions that pyproject.toml allows
	uv lock --upgrade --quiet
	uv export --quiet --all-groups --no-emit-workspace --no-annotate --format requirements-txt --no-header -o requirements.lock >/dev/null

bench: setup ## measure speed and memory (minutes; prints tables)
	python -m benchmarks

chaos: setup ## the long fault runs, CHAOS_ROUNDS times (minutes)
	CHAOS_ROUNDS=$(CHAOS_ROUNDS) pytest -q -n $(PYTEST_WORKERS) tests/faults tests/store

fuzz: setup ## ask the whole API at length, FUZZ_EXAMPLES a call, from FUZZ_SEED (minutes)
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) FUZZ_SEED=$(FUZZ_SEED) pytest -q -n $(PYTEST_WORKERS) tests/api/test_schemathesis.py

clean: ## remove what setup and the tests made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
