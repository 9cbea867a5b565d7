# Everything a newcomer needs is `make run` and `make test`; the rest is below with a line of help each.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TONGBAO_MARCH ?= native

.PHONY: help env build debug run test test-long lint bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --group dev
	$(BIN)/pip install --quiet --no-build-isolation --editable .
	touch $@

env: $(VENV)/.installed build  ## the environment in .venv, with the compiled modules

build: $(VENV)/.installed  ## compile what has changed
	$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2

clean:  ## remove what was built (not the environment)
	rm -rf build
	find engine server benchmarks -name '*.c' -delete -o -name '*.so' -delete
