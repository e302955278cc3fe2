# Every verb of the project. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: help demo test test-fast soak cluster bench lint format generated migration servers node lock clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/run.ready: requirements.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "installing what Onshi runs with, into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.ready: requirements-dev.lock $(VENV)/run.ready
	@echo "installing what Onshi is tested with, into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/run.ready ## 200 invented patients from a simulated terminal to a chart; no server, no root
	@$(BIN)/onshi demo --patients 200

test: $(VENV)/dev.ready servers node ## everything, on private RabbitMQ and PostgreSQL
	@$(BIN)/pytest -n 3 --dist loadgroup

test-fast: $(VENV)/dev.ready ## what needs no server
	@$(BIN)/pytest -n 2 -m "not rabbitmq and not postgresql" tests/unit tests/property tests/rules

MINUTES ?= 30
soak: $(VENV)/dev.ready servers ## the fault matrix, then roles killed at their system calls, for MINUTES=n; SEED=n is the same again
	@$(BIN)/python -m tests.support.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

FILES ?= 2000
bench: $(VENV)/dev.ready servers ## what a file costs on every broker and store, with FILES=n at once; for docs/sizing.md
	@$(BIN)/python -m benchmarks --files $(FILES)

cluster: $(VENV)/dev.ready servers ## three real RabbitMQ nodes lose one after the other under load; figures into build/cluster.jsonl
	@ONSHI_CLUSTER_FIGURES=build/cluster.jsonl $(BIN)/pytest -m soak tests/cluster

node: $(VENV)/dev.ready ## install what the AsyncAPI check and the Node client need, from their lock files
	@$(BIN)/python -m tests.support.node

servers: ## install RabbitMQ, PostgreSQL and strace from Debian's packages, if they are missing (never starts a shared one)
	@infra/servers.sh

lint: $(VENV)/dev.ready ## ruff, mypy, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/dev.ready ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generated: $(VENV)/run.ready ## write again what is made from the models
	@$(BIN)/python -m pipeline.broker.definitions > infra/rabbitmq/definitions.json
	@$(BIN)/python -m pipeline.observing.dashboards infra/grafana/dashboards
	@$(BIN)/python -m pipeline.observing.reference > docs/metrics.md
	@$(BIN)/python -m pipeline.setting_reference > docs/settings.md
	@$(BIN)/onshi asyncapi > docs/vendors/asyncapi.json
	@$(BIN)/onshi asyncapi --schemas docs/vendors/schemas
	@$(BIN)/onshi asyncapi --html > docs/vendors/index.html

migration: $(VENV)/dev.ready ## draft the migration that a changed model needs: NAME=what_changed
	@$(BIN)/python -m pipeline.storage.draft "$(NAME)"

lock: ## choose the newest allowed versions (needs uv)
	@uv pip compile pyproject.toml infra/build.in --extra zip --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --upgrade -q -o requirements.lock
	@uv pip compile pyproject.toml infra/build.in --extra zip --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --upgrade -q -o requirements-dev.lock

clean: ## remove what was made here
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
