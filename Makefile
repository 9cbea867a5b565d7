# `make run` starts Tongbao, `make test` proves it; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
export TONGBAO_MARCH ?= native

.DEFAULT_GOAL := help
.PHONY: help env build run berka lobster test test-long crash patroni chaos simulate lint debug asan fuzz bench loadtest bench-peers bench-suite bench-compare profile profile-budget profile-check clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# --- building ---------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --group dev
	$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2
	TONGBAO_COMPILED=1 $(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --editable .
	touch $@

env: $(VENV)/.installed build  ## the environment in .venv, with the compiled modules, and nothing else

build: $(VENV)/.installed  ## compile what has changed
	$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2

clean:  ## remove what was built (not the environment)
	rm -rf build
	find engine server loadtest benchmarks -name '*.c' -delete -o -name '*.so' -delete

# --- running ----------------------------------------------------------------------------------------

run: env  ## server (127.0.0.1:7420), office and console (127.0.0.1:7480) with their own PostgreSQL; data in DATA=data
	$(BIN)/tongbao-office up --data-dir $(DATA)

serve: env  ## the server alone
	$(BIN)/tongbao serve --dev --data-dir $(DATA)

demo-reset:  ## delete the demo institution; make run makes a new one
	$(BIN)/tongbao-office demo reset --data-dir $(DATA)

berka: env  ## import a real bank's accounts through a server and reconcile every balance
	$(BIN)/python -m examples.berka

lobster: env  ## replay a day of NASDAQ's orders through a server and compare its book at every event
	$(BIN)/python -m examples.lobster

# --- proving ----------------------------------------------------------------------------------------

lint: env  ## ruff, mypy --strict; Cython warnings stop the build itself
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Most of the time goes to waiting for servers that start, stop and are killed: more workers than cores.
WORKERS ?= 3
test: lint  ## everything that fits into minutes; WORKERS=0 runs one test after the other
	$(BIN)/python -m pytest -m "not long" --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-long: env  ## a million steps against the plain ledger, and whatever else takes long
	$(BIN)/python -m pytest -m long $(ARGS)

crash: env  ## N=500 SEED=7: kill server and PostgreSQL with -9 under load, restart, audit every transfer
	$(BIN)/python -m tests.crash --kills $(or $(N),100) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos: env  ## MINUTES=30 SEED=7: leader, standby, follower and PostgreSQL killed, paused, cut off, slowed and filled up under load
	$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

patroni: env  ## PostgreSQL's failover under Patroni and etcd, in network namespaces; skipped without them
	$(BIN)/python -m pytest tests/cluster -s $(ARGS)

SEEDS ?= 5000
simulate: env  ## SEEDS=5000 worlds of servers, clients and a database on virtual time, with faults; ARGS=--mutants plants faults
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

# A twin is a copy of the tree under build/, compiled in another way, so that both can be used side by side.
define twin
	mkdir -p build/$(1)
	git ls-files -co --exclude-standard -z | xargs -0 cp --parents --update --target-directory build/$(1)
endef

debug: env  ## the checked build (bounds checks, invariants after every batch) and its tests
	$(call twin,debug)
	cd build/debug && TONGBAO_DEBUG=1 ../../$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2
	cd build/debug && ../../$(BIN)/python -m pytest -m "not long and not crash" $(or $(ARGS),tests/engine tests/server/wire)

asan: env  ## address and undefined-behaviour sanitizers over the compiled modules' tests
	$(call twin,asan)
	cd build/asan && TONGBAO_SANITIZE=address,undefined TONGBAO_MARCH= \
	  ../../$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2
	cd build/asan && ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  ../../$(BIN)/python -X faulthandler -m pytest --capture=sys -m "not long and not crash" $(or $(ARGS),tests/engine tests/server/wire)

RUNS ?= 2000000
WORLDS ?= 5000
fuzz: env  ## the wire against its plain model, RUNS=2000000 inputs found by atheris; WORLDS=5000 of bytes in order commands
	$(BIN)/python fuzz/fuzz_orders.py --worlds $(WORLDS)
	$(BIN)/pip install --quiet --disable-pip-version-check "atheris>=3,<4"
	$(BIN)/python fuzz/fuzz_wire.py --runs $(RUNS)

# --- measuring --------------------------------------------------------------------------------------

loadtest: env  ## Locust, ten seconds on a server of its own; ARGS='--host … -u 50 -t 5m --shape step' (docs/LOADTEST.md)
	$(BIN)/python -m loadtest.locust $(ARGS)

bench: env  ## figures beside their gates and goals; FULL=1 takes the full sizes (docs/BENCHMARKS.md)
	@for name in wire posting risk journal path request snapshot recovery follower overload backup projection peers; do \
	  $(BIN)/python -m benchmarks.bench_$$name $(if $(FULL),--full) || exit 1; \
	done

bench-suite: env  ## the hot paths under pytest-benchmark; results and facts of the machine in build/benchmark.json
	mkdir -p build
	$(BIN)/python -m pytest -q -p no:cacheprovider benchmarks/suite --benchmark-json=build/benchmark.json $(ARGS)

bench-compare: env  ## this build beside an older one, by turns: BASE=v0.1.0 (the newest release); fails if a hot path is slower
	$(BIN)/python -m benchmarks.compare $(if $(BASE),--base $(BASE)) $(ARGS)

profile: env  ## a flame graph of the server under load in build/profile; LOADS="singles orders" ARGS=--no-commit (docs/PROFILING.md)
	$(BIN)/python -m benchmarks.profiling flame $(addprefix --load ,$(or $(LOADS),singles)) $(ARGS)

profile-budget: env  ## ns a message of each stage of the server under load; LOADS, ARGS="--no-commit" or "--url http://…/metrics"
	$(BIN)/python -m benchmarks.profiling budget $(addprefix --load ,$(or $(LOADS),singles)) $(ARGS)

profile-check: env  ## instructions of the compiled path, by callgrind, beside those written down; ARGS=--update writes them down
	$(call twin,counts)
	cd build/counts && TONGBAO_MARCH= ../../$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2
	cd build/counts && ../../$(BIN)/python -m benchmarks.profiling counts --expected ../../benchmarks/profiling/counts.json $(ARGS)

PEERS := build/peers
$(PEERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --group peers
	touch $@

bench-peers: env $(PEERS)/.installed  ## beside PostgreSQL, Redis, a web service and PyPI's order books; ARGS="--full --rounds 3"
	$(BIN)/python -m benchmarks.peers --python $(PEERS)/bin/python $(ARGS)
