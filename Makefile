# driftwatch: what there is to do. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/driftwatch
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-recorded test-alerts check bench crash truth soak up clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Make .venv with driftwatch in it, and resolve the jars of Kafka and Debezium
	@$(VENV)/bin/python -m app.native

$(VENV)/.ready: pyproject.toml .ci/requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "driftwatch needs Python 3.11 or newer, and $(PYTHON) is %d.%d: install it, or say make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## The whole system on this machine, with planted drift; ARGS="--for 90s --seed 1 --json"
	@$(RUN) demo $(ARGS)

up: setup ## Run driftwatch against the services that the environment names
	@$(RUN) up $(ARGS)

test: setup ## All tests, on this clone alone; ARGS=unit runs one tier
	@$(VENV)/bin/python -m tests $(ARGS)

test-recorded: setup ## The tests on real records, which need ../shared
	@$(VENV)/bin/python -m tests recorded

test-alerts: ## The alerts against their tests (needs promtool and amtool)
	@promtool test rules connectors/prometheus/driftwatch.rules.test.yml
	@promtool check config connectors/prometheus/prometheus.yml
	@amtool check-config connectors/prometheus/alertmanager.yml

check: setup ## Formatting, lint, types, import layers
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: setup ## Measure: detector, replay, worker; ARGS=--json
	@$(VENV)/bin/python -m tests.bench $(ARGS)

crash: setup ## Kill workers fifty times and look for what was lost
	@$(VENV)/bin/python -m tests.crash $(ARGS)

truth: setup ## A million simulated key-hours against the truth, and the report (seven minutes)
	@$(RUN) simulate --key-hours 1000000 --jobs 2 --report app/simulation/REPORT.md $(ARGS)

soak: setup ## Ten thousand ledgers with random faults of the node: is every event there once?
	@$(VENV)/bin/python -m tests.soak $(ARGS)

clean: ## Remove what was made here; the cache of jars stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
