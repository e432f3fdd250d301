# Every target is safe to run again. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

BIN := .venv/bin
# Files run side by side: most of the time of tests on real parts is waiting.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | expand -t 14

# --- Host and checkout -----------------------------------------------------------------------

.PHONY: setup
setup: ## Install system packages, .venv and the sandbox image (root or sudo); seconds when done
	@deploy/setup.sh

.PHONY: lint
lint: ## Format, lint, types and layers, without changing a file
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# --- Running ---------------------------------------------------------------------------------

.PHONY: up
up: setup ## Start Knify in the foreground
	@exec $(BIN)/knify up

.PHONY: demo
demo: setup ## Run a first job from start to end
	@exec $(BIN)/python deploy/demo.py

# --- Checking --------------------------------------------------------------------------------

# In CI nothing that is missing may be skipped. A test that fails there is run once more and shown
# as RERUN: a shared machine may stall for seconds. What fails twice is broken.
.PHONY: test
test: setup lint ## Everything that must be true before a change is merged
	@KNIFY_CI=1 $(PYTEST) -m 'not slow'

.PHONY: test-all
test-all: export KNIFY_TEST_SERVERS := 1
test-all: setup lint ## The same with the slow tests
	@KNIFY_CI=1 $(PYTEST)

.PHONY: bench
bench: setup ## Measure start times and throughput
	@exec $(BIN)/python -m tests.bench

.PHONY: chaos
chaos: setup ## Inject faults for CHAOS_MINUTES (10), crash at every failpoint; writes docs/faults.md
	@exec $(BIN)/python -m tests.chaos --write
