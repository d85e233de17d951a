# Every command of the project. `make` alone lists them. Needs GNU make, git and Python 3.10 or newer.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
TARGET = -e '.[$(EXTRAS)]'
DEMO_OUT ?= runs/demo
WORKERS ?= 2
SECONDS ?= 60

# Which build of torch to install. On Linux PyPI's own build brings gigabytes of CUDA libraries, so the default there is
# `cpu`. Another label (`make install TORCH=cu130`) takes that build from PyTorch's index, and `default` takes whatever
# pip is configured to find. The label becomes part of the version asked for, as in `torch==2.13.0+cpu`. PyPI holds no
# such versions, so where the build can't be had the install stops: it never falls back to another one.
PLATFORM ?= $(shell uname -s)
ifeq ($(PLATFORM),Linux)
TORCH ?= cpu
else
TORCH ?= default
endif
TORCH_INDEX ?= https://download.pytorch.org/whl/$(TORCH)
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(TORCH)
PACKAGES := $(patsubst %/__init__.py,%,$(wildcard seqgan_env/__init__.py agents/__init__.py benchmarks/__init__.py))
# One thread for each worker: two cores run two workers, and torch's own threads would only get in their way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help venv install demo test test-fast test-lowest test-consumers test-trackers package mutations reliability fuzz speed \
	imports check docs linkcheck lint types format constraints clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: $(BIN)/python ## create the virtual environment, .venv

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

install: $(STAMP) ## install the project, with its tools, at the tested versions

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
ifneq ($(TORCH),default)
	$(BIN)/python -m pip install --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) \
		'torch==$(TORCH_VERSION)+$(TORCH)'
endif
	@echo 'Installing the project and its tools into $(VENV); this takes a minute or two.'
	$(BIN)/python -m pip install --quiet -c constraints.txt $(TARGET)
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: install ## train on the embedded task, print a table, write a report
	$(BIN)/seqgan demo --out $(DEMO_OUT)

test: install ## run every test and every example in the documentation
	$(PYTEST) -n $(WORKERS) --dist worksteal

test-fast: install ## the same without the slow ones
	$(PYTEST) -n $(WORKERS) --dist worksteal -m 'not slow'

# What warns here is an old release that another one has overtaken, so warnings are no errors.
test-lowest: install ## the fast tests at the oldest releases that pyproject.toml allows (builds an environment of its own)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[package]'
	$(BIN)/uv venv --quiet --clear --seed --python $(BIN)/python build/lowest
	$(BIN)/uv pip install --quiet --python build/lowest $(if $(filter-out default,$(TORCH)),--torch-backend $(TORCH)) \
		--resolution lowest-direct -e '.[test]'
	OMP_NUM_THREADS=1 build/lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal -m 'not slow' -o filterwarnings=default

# Apart from `.venv`, because these libraries bring dozens of packages that nobody else needs; `.venv` skips these tests.
test-consumers: ## drive the environment through other libraries of RL (builds an environment of its own)
	$(MAKE) --no-print-directory install VENV=build/consumers EXTRAS=consumers
	OMP_NUM_THREADS=1 build/consumers/bin/python -m pytest tests/consumers -n $(WORKERS) --dist worksteal

# Apart from `.venv` and from the tested versions: some of these libraries take only older ones.
test-trackers: ## tell a run to wandb, mlflow and trackio, offline, and write Parquet (builds an environment of its own)
	$(MAKE) --no-print-directory install VENV=build/trackers EXTRAS=test
	build/trackers/bin/python -m pip install --quiet -e '.[parquet,trackers]'
	OMP_NUM_THREADS=1 build/trackers/bin/python -m pytest tests/agents/runs/test_trackers.py tests/agents/sweeps/test_tracking.py \
		tests/agents/sweeps/test_report.py

define try
	rm -rf build/package
	$(MAKE) --no-print-directory install VENV=build/package TARGET="$$(echo dist/*.$(1))"
	SEQGAN_INSTALLED=$(CURDIR)/build/package $(PYTEST) tests/project/test_package.py tests/project/test_readme.py
endef

package: install ## build the wheel and the sdist into dist/, check them, and try each in an environment of its own
	rm -rf dist
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[package]'
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(call try,tar.gz)
	$(call try,whl)

mutations: install ## break the mathematics in many ways and see a test fail each time (half an hour)
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutations.py

speed: install ## every hot path against a plain reference, at a small size
	$(PYTEST) tests/benchmarks/test_speed.py -p no:xdist --benchmark-enable --benchmark-columns=median,rounds

reliability: install ## every fault at every field of every file, and a run killed at five hundred random points (half an hour)
	SEQGAN_THOROUGH=1 SEQGAN_KILLS=500 $(PYTEST) tests/reliability -o timeout=7200

fuzz: ## look for files that a reader neither reads nor refuses in one line (SECONDS for each of thirteen; builds an environment)
	$(MAKE) --no-print-directory install VENV=build/fuzzenv EXTRAS=fuzz
	OMP_NUM_THREADS=1 build/fuzzenv/bin/python tools/fuzz.py $(SECONDS)

imports: install ## the direction of imports alone (part of `test`)
	$(PYTEST) tests/project/test_architecture.py tests/project/test_house.py

# Side by side where one process has a core for itself, as the tests have both and what is timed needs quiet.
check: install ## every gate: style, types, import direction, the site, tests, documentation examples
	$(MAKE) --no-print-directory -j $(WORKERS) lint types docs
	$(MAKE) --no-print-directory test
	$(MAKE) --no-print-directory speed

docs: install ## build the documentation site into build/site, and see that it fits a phone; a warning is an error
	$(BIN)/sphinx-build -q -E -W --keep-going -d build/doctrees docs build/site
	SEQGAN_SITE=build/site $(PYTEST) -q tests/project/test_phone.py
	@echo 'The site: build/site/index.html'

linkcheck: install ## follow every link of the documentation to other sites
	$(BIN)/sphinx-build -q -b linkcheck -d build/doctrees docs build/links

lint: install ## style and formatting, without changing anything
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install ## strict type checking
	$(BIN)/mypy $(PACKAGES) tools docs/conf.py

format: install ## put the code into the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

constraints: ## renew constraints.txt from the newest releases (builds an environment of its own)
	rm -rf build/pins
	$(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) \
		'torch==$(TORCH_VERSION)$(if $(filter-out default,$(TORCH)),+$(TORCH))'
	build/pins/bin/python -m pip install --quiet -e '.[consumers,dev,docs,fuzz,package]'
	build/pins/bin/python tools/pin.py constraints.txt

clean: ## remove caches and build output, keep the environment and the runs
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis ./*.egg-info docs/api docs/environments docs/figures docs/project
	find seqgan_env agents benchmarks tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## and the environment too
	rm -rf $(VENV)
