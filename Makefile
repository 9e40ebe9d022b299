# Everything that a person types here. `make help` lists it.

PYTHON3 ?= python3
export PYTHON3

BIN := .venv/bin
DATA := $(CURDIR)/.ledgermill/data
EXAMPLE := $(CURDIR)/.ledgermill/hello-ledger
SOURCES := domain commands projections gateway runner infra tests bench examples

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: .venv/run.stamp ## Run the bundled example repository's workflow end to end and verify its event log
	@rm -rf $(EXAMPLE) && mkdir -p $(EXAMPLE) && cp -R examples/hello-ledger/. $(EXAMPLE)
	@git -C $(EXAMPLE) init --quiet --initial-branch=main
	@git -C $(EXAMPLE) add --all
	@git -C $(EXAMPLE) -c user.name=Ledgermill -c user.email=example@ledgermill.invalid -c commit.gpgsign=false commit --quiet --message "Example"
	$(BIN)/ledgermill run -C $(EXAMPLE) --data $(DATA) --progress plain
	$(BIN)/ledgermill replay latest --verify --data $(DATA)

.PHONY: ci
ci: .venv/run.stamp ## Run this repository's own workflow (.github/workflows/ci.yml) under Ledgermill and verify its event log
	$(BIN)/ledgermill run -C . --data $(DATA) --progress plain
	$(BIN)/ledgermill replay latest --verify --data $(DATA)

# Three workers for two cores: much of their time they wait.
.PHONY: test
test: .venv/dev.stamp ## Run all tests
	$(BIN)/pytest -n 3 --dist worksteal

.PHONY: test-again
test-again: .venv/dev.stamp ## Run the tests that failed last, one by one
	$(BIN)/pytest --last-failed --last-failed-no-failures none

.PHONY: test-short
test-short: .venv/dev.stamp ## Run the tests that need no server
	$(BIN)/pytest -n 2 tests/domain tests/commands tests/runner tests/gateway

.PHONY: campaign
campaign: .venv/dev.stamp ## Run the long campaigns: crashes and kills under load, a million expressions (over an hour)
	$(BIN)/python -m tests.rigs.crash --cycles 20
	$(BIN)/python -m tests.rigs.kills --kills 200
	$(BIN)/python -m tests.rigs.cluster --jobs 2000
	$(BIN)/pytest -m campaign

.PHONY: contract
contract: .venv/dev.stamp ## Hold a gateway to its OpenAPI document with schemathesis, at length
	$(BIN)/pytest -m campaign tests/gateway/api/test_contract.py

.PHONY: lint
lint: .venv/dev.stamp ## Check style and the import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: type
type: .venv/dev.stamp ## Check types
	$(BIN)/mypy

.PHONY: bench
bench: .venv/dev.stamp ## Measure, print the rows and write bench/results/latest.json
	$(BIN)/python -m bench

.PHONY: docs
docs: .venv/dev.stamp ## Make the generated pages of docs/ anew
	@for page in docs/generators/*.py; do $(BIN)/python $$page || exit 1; done

.PHONY: clean
clean: ## Remove the environment, caches and the example's data
	rm -rf .venv .ledgermill .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

REQUIREMENTS := pyproject.toml .ci/setup

.venv/run.stamp: requirements/run.txt $(REQUIREMENTS)
	@.ci/setup $$(if [ -e .venv/dev.stamp ]; then echo dev; else echo run; fi)
	@touch $@

.venv/dev.stamp: requirements/dev.txt $(REQUIREMENTS)
	@.ci/setup dev
	@touch $@
