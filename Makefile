# Needs Python 3.11 or 3.12 with ensurepip, and make; everything else comes from the hash lock.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VERSION := $(or $(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null),none)
LOCK := locks/py$(VERSION).txt
STAMP := $(VENV)/.installed-py$(VERSION)

.PHONY: reproduce test test-all mutants lint benchmark notebook locks env clean

reproduce: $(STAMP)
	$(BIN)/python -m experiments run --preset default
	$(BIN)/python -m experiments figures
	$(BIN)/python -m experiments verify

test: $(STAMP)
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest -q -n auto --dist worksteal --optimized

# Plants single faults one at a time and lists those that no test notices.
mutants: $(STAMP)
	$(BIN)/python tests/mutants.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

benchmark: $(STAMP)
	$(BIN)/python -m benchmarks

notebook: $(STAMP)
	$(BIN)/python -m nbclient.cli --inplace notebooks/tour.ipynb

env: $(STAMP)

# pip alone installs: the lock with hashes (build backend included), then the project itself offline.
$(STAMP): $(LOCK) pyproject.toml | supported-python
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	touch $@

.PHONY: supported-python
supported-python:
	$(if $(wildcard $(LOCK)),,$(error no lock for '$(PYTHON)' (version $(VERSION)): use Python 3.11 or 3.12, e.g. make PYTHON=python3.11))
	$(if $(shell $(PYTHON) -c 'import ensurepip, venv' 2>&1),$(error '$(PYTHON)' lacks ensurepip or venv: install your system's python3-venv package))

# No lock for this Python: the rule above then stops with its one line.
locks/py%.txt: | supported-python ;

# A developer tool only (needs uv): one hash lock per supported Python.
locks:
	for v in 3.11 3.12; do uv pip compile pyproject.toml locks/build.in --extra dev --python-version $$v --universal \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make locks" -o locks/py$$(echo $$v | tr -d .).txt; done

clean:
	rm -rf $(VENV) results .jax_cache
