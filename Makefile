# `make run` and `make test` do all their set-up themselves; they need python3 >= 3.11 with its
# venv module, make and a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# One stamp for each interpreter asked for: another PYTHON looks at the environment again.
STAMP := $(VENV)/.installed-$(subst /,_,$(PYTHON))
BENCH_STAMP := $(VENV)/.installed-bench

# What `make run`, `make test` and `make bench` run; set ARGS to replace or narrow it.
RUN_ARGS = $(or $(ARGS),examples/vqls/vqls.py --device qfw --optimizer gd)
CHECKED = $(wildcard src tests examples benchmarks scripts)

export PYTHON

# Applications and tests start the environment's own commands. Not exported for every recipe:
# set-up must find the interpreter that the user named.
IN_VENV = PATH="$(CURDIR)/$(BIN):$$PATH"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv run test test-versions lint check docs conformance wheel bench lock clean system-deps system-ready

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile
	@echo "  PYTHON=... chooses the interpreter, ARGS=... the arguments of run, test and bench"

run: venv ## the VQLS example through a private stack (ARGS=... runs something else)
	$(IN_VENV) $(BIN)/qfw run $(RUN_ARGS)

test: system-ready lint ## everything CI checks: lint, then the tests (ARGS=... narrows them)
	$(IN_VENV) $(BIN)/python -m pytest $(ARGS)

test-versions: wheel ## the wheel at both ends of the versions that it supports (ARGS=... narrows)
	@$(BIN)/python scripts/test_versions.py dist/*.whl $(ARGS)

lint: venv ## ruff, mypy --strict, the layers
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: test ## the same as test

bench: $(BENCH_STAMP) ## ratios against peers run beside QFw
	$(IN_VENV) $(BIN)/python -m benchmarks $(ARGS)

docs: venv ## the reference pages of the public interface, in build/docs
	@rm -rf build/docs
	$(BIN)/python scripts/reference.py build/docs

conformance: venv ## docs/conformance.md: what the kit finds of every engine and platform
	$(IN_VENV) $(BIN)/python scripts/conformance.py

wheel: venv ## the package as users install it, in dist/
	@# What an earlier build left behind would be packed too.
	@rm -rf build/lib build/bdist.* dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --offline --out-dir dist

venv: $(STAMP) ## the environment .venv, from the lock files

$(STAMP): requirements/bootstrap.lock requirements/dev.lock pyproject.toml scripts/setup-venv.sh
	@scripts/system-deps.sh auto
	@scripts/setup-venv.sh
	@rm -f $(VENV)/.installed-* && touch $@

$(BENCH_STAMP): $(STAMP) requirements/bench.lock
	@scripts/setup-venv.sh bench
	@touch $@

lock: venv ## resolve the lock files again (UPGRADE=1 takes newer versions)
	scripts/lock.sh $(if $(UPGRADE),--upgrade)

system-deps: ## as root on a Debian-like system: install the system packages that are missing
	@scripts/system-deps.sh install

system-ready:
	@scripts/system-deps.sh auto

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) $(VENV)-* build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +
