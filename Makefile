# Every target does its own set-up, in a .venv in the checkout: nothing but Python 3.11+ is needed.
PYTHON ?= python3
TENANT ?= apparel
MINUTES ?= 15
BIN := .venv/bin

.PHONY: help setup demo dev test check chaos bench soak clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## the virtual environment, from the locked versions

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bc-ometria needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: setup ## the main job end to end on this machine; TENANT=online-retail DATA=PATH for real orders
	$(BIN)/bc-ometria demo --tenant $(TENANT) $(foreach path,$(DATA),--data $(path))

dev: setup ## the Dagster UI on port 3000, with a living sandbox behind it
	$(BIN)/bc-ometria dev --sandbox

test: setup check ## style, types and all tests
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

chaos: setup ## kills, outages and faults, each also with a planted defect; CHAOS_SEED=N repeats what chance chose
	CHAOS=long $(BIN)/pytest -v -W ignore bc_ometria_tests/chaos

bench: setup ## speed beside the raw limits of this machine; JSON=PATH also writes the figures
	$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON))

soak: setup ## the real daemon beside a shop that trades for MINUTES=15, killed once, and the proof; JSON=PATH too
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) $(if $(JSON),--json $(JSON))

clean: ## everything that the targets made
	rm -rf .venv .bc_ometria *.egg-info .pytest_cache .mypy_cache .ruff_cache
