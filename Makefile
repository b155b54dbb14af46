# Everything is built inside .venv from the lock files; Debian packages are installed where that is allowed.
# Needs: Python 3.11 or newer, make, git.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

RUN_PACKAGES  := nftables iproute2
TEST_PACKAGES := nginx redis-server mariadb-server tcpdump curl passt gcc libc6-dev
RUN_PROGRAMS  := nft ip nsenter unshare setpriv
TEST_PROGRAMS := nginx redis-server redis-cli mariadbd mariadb tcpdump curl pasta gcc

# What is tried as an ordinary user too: programs, routes, gateways, up, exec, run, status, down and their mistakes.
AS_USER := $(addprefix tests/netns/,shop test_bad_input.py test_lifecycle.py)

.PHONY: help setup setup-test demo test check golden lock bench clean
.DEFAULT_GOAL := help

help: ## this menu
	@echo "Tulle: a service mesh that a person starts with one command"
	@echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(VENV)/run.stamp ## everything that running needs, .venv/bin/tulle included

setup-test: $(VENV)/test.stamp

demo: setup ## the bookshop on a mesh, with a guided tour
	@$(BIN)/tulle demo

test: setup-test ## every test (those that make network namespaces need root, to be an ordinary user too)
	@$(BIN)/python -m pytest tests/unit tests/property tests/golden tests/wire -n $(JOBS) --dist loadfile -q
	@$(BIN)/python -m pytest tests/netns --tx "$(JOBS)*popen//python=tools/isolated-python" --dist loadfile -q
	@$(BIN)/python -m pytest $(AS_USER) --as-user \
	  --tx "$(JOBS)*popen//python=tools/isolated-python" --dist loadfile -q

check: setup-test ## lint, types and layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

golden: setup-test ## write the golden files and docs/reference/support.md anew
	@$(BIN)/python -m tests.golden.rewrite

bench: setup-test ## measure (ratios, side by side)
	@$(BIN)/python -m benchmarks

lock: ## resolve the lock files anew (needs uv)
	@for set in run dev; do \
	  uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header pyproject.toml requirements/build.in \
	    $$([ $$set = dev ] && echo requirements/dev.in) -o requirements/$$set.lock; done

clean: ## remove what make made
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- below: how set-up is done ----------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tulle needs Python 3.11 or newer; say which: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/packages $$($(PYTHON) -c \
	  'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.lock pyproject.toml | $(BIN)/python
	@tools/packages --programs "$(RUN_PROGRAMS)" $(RUN_PACKAGES)
	@echo "setting up $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/test.stamp: requirements/dev.lock $(VENV)/run.stamp
	@tools/packages --programs "$(TEST_PROGRAMS)" $(TEST_PACKAGES)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@
