# Everything runs in .venv, which make creates. Needed beforehand: Python >= 3.10 with venv and pip,
# a C++ compiler (GCC >= 11 or Clang >= 14) and make. cmake and ninja come from pip.
#
#   PYTHON=python3.12         interpreter of a new .venv
#   TORCH='torch==2.13.0 ...' what pip installs as torch; name a CUDA build here to get one
#   SEMIDEEP_CUDA=off         as in setup.py; and SEMIDEEP_CUDA_TARGETS
#   GPU_PYTHON=python3        interpreter of make gpu, with a CUDA build of torch; .venv is not used
#   SANITIZE=thread           C++ tests under a sanitizer (make ctest): address, thread or undefined

PYTHON ?= python3
# The version that the tests are known to pass with; any from 2.10 on may be given.
TORCH ?= torch==2.13.0
SEMIDEEP_CUDA ?= auto
GPU_PYTHON ?= python3
GPU_OPTIONS ?=
SANITIZE ?=
ALL_CASES ?= OFF
COUNT_OPTIONS ?=
SSL_OPTIONS ?=

# Waiting OpenMP threads sleep: spinning ones slow small models tenfold where other processes (the
# second pytest worker, say) want the same cores.
export OMP_WAIT_POLICY ?= passive

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := SEMIDEEP_CUDA=$(SEMIDEEP_CUDA) $(PIP) install --no-build-isolation --editable
NATIVE := build/native$(if $(SANITIZE),-$(SANITIZE))
CEILINGS := $(NATIVE)/ceilings
# Those who call torch once a block of rows would wait for its sleeping threads each time.
BENCH := env -u OMP_WAIT_POLICY $(BIN)/python
# make test-oldest works in a copy with a .venv of its own, since libraries are built beside sources.
OLDEST := .oldest
SOURCES = $(shell git ls-files | cut -d/ -f1 | sort -u)
# Old packages use what the newest of those that they bring along call deprecated, and torch 2.10 warns
# of every graph without a backward part that it compiles.
OLDEST_WARNINGS := -W ignore::DeprecationWarning -W ignore:remat_using_tags:UserWarning
CSRC := $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
CONFIGURE = $(BIN)/cmake -S . -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" \
  -DSEMIDEEP_BUILD_PYTHON=OFF
# One CUDA target is enough for a test; `make cuda-build` compiles for every one.
CONFIGURE_NATIVE = $(CONFIGURE) -B $(NATIVE) \
  -DSEMIDEEP_CUDA=$(SEMIDEEP_CUDA) -DSEMIDEEP_CUDA_TARGETS=90a-real -DSEMIDEEP_SANITIZE=$(SANITIZE) \
  -DSEMIDEEP_ALL_CASES=$(ALL_CASES)
HAVE_NVCC := $(shell command -v $${CUDACXX:-nvcc} 2>/dev/null)
NO_NVCC = @echo "$@: SKIPPED, no nvcc here; install the CUDA toolkit and put nvcc on PATH or set CUDACXX to it"
BUILD_INPUTS := setup.py CMakeLists.txt semideep_ext/_version.py $(filter-out csrc/tests/%,$(CSRC))

.DEFAULT_GOAL := help
.PHONY: help dev demo test lint ctest ctest-all ctest-aarch64 pytest test-oldest kills bench \
  bench-scaling bench-ssl bench-counts bench-counts-accept cuda-build cuda-resources cuda-resources-accept \
  gpu format clean

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /make \1\t/' \
	  | expand -t 28

dev: .venv/dev.stamp  ## Create .venv with the package (editable) and every development tool

demo: .venv/demo.stamp .venv/package.stamp  ## Run the demonstration
	$(BIN)/python -m semideep_ext demo

test: .venv/dev.stamp .venv/package.stamp  ## Lint, C++ and Python tests, instruction counts; stops at the first that fails
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory ctest
	@$(MAKE) --no-print-directory pytest
	@$(MAKE) --no-print-directory bench-counts SANITIZE= COUNT_OPTIONS=--optional
	@echo "make test: everything passed (lint, C++ tests, Python tests; instruction counts as said above)"

lint: .venv/dev.stamp  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@echo clang-format --dry-run -Werror csrc
	@$(BIN)/clang-format --dry-run -Werror $(CSRC)
	$(BIN)/mypy

ctest: .venv/dev.stamp  ## Build and run the C++ tests, under each instruction set; no torch involved
	$(CONFIGURE_NATIVE)
	$(BIN)/cmake --build $(NATIVE)
	$(BIN)/ctest --test-dir $(NATIVE) --parallel 2 --output-on-failure --no-tests=error

ctest-all:  ## The same on all cases of the emulated kernels, of which the others take a sample
	@$(MAKE) --no-print-directory ctest ALL_CASES=ON

ctest-aarch64: .venv/dev.stamp  ## The C++ tests on 64-bit ARM: cross-compiled, run in QEMU
	$(CONFIGURE) -B build/native-aarch64 --toolchain cmake/aarch64.cmake -DSEMIDEEP_CUDA=OFF
	$(BIN)/cmake --build build/native-aarch64
	$(BIN)/ctest --test-dir build/native-aarch64 --output-on-failure --no-tests=error

pytest: .venv/dev.stamp .venv/package.stamp  ## Run the Python tests
	$(BIN)/python -m pytest -n 2

test-oldest:  ## The Python tests with the lowest versions that pyproject.toml allows; Python 3.10 or 3.11
	mkdir -p $(OLDEST)
	rm -rf $(addprefix $(OLDEST)/,$(SOURCES) .venv/package.stamp)
	cp -rp $(SOURCES) $(OLDEST)
	grep -oE '"[A-Za-z0-9_-]+>=[0-9.]+"' pyproject.toml | sed 's/"//g; s/>=/==/' | sort -u \
	  > $(OLDEST)/lowest.txt
	PIP_CONSTRAINT=lowest.txt PYTEST_ADDOPTS='$(OLDEST_WARNINGS)' \
	  $(MAKE) --no-print-directory -C $(OLDEST) TORCH=torch pytest

kills: .venv/dev.stamp .venv/package.stamp  ## Kill a training 100 times, resume it, compare the bits
	OMP_NUM_THREADS=1 $(BIN)/python tests/training/kill_and_resume.py --kills 100

bench: .venv/bench.stamp .venv/package.stamp $(CEILINGS)  ## Time the op beside its peers; results, README table, plot
	$(BENCH) benchmarks/bench.py

bench-scaling: .venv/bench.stamp .venv/package.stamp  ## Time and memory up to a million rows; results and plot
	$(BENCH) benchmarks/scaling.py

bench-ssl: .venv/dev.stamp .venv/package.stamp  ## Semi-supervised methods against supervised training; results, tables, picture
	$(BIN)/python benchmarks/ssl/run.py $(SSL_OPTIONS)

bench-counts: .venv/dev.stamp  ## Count instructions under valgrind; fails where they grew
	$(CONFIGURE_NATIVE)
	$(BIN)/cmake --build $(NATIVE) --target count_cases
	$(BIN)/python benchmarks/counts.py $(COUNT_OPTIONS) $(NATIVE)/count_cases

bench-counts-accept:  ## Make the instruction counts of this machine the baseline
	@$(MAKE) --no-print-directory bench-counts COUNT_OPTIONS=--accept

ifneq ($(HAVE_NVCC),)
cuda-build: .venv/tools.stamp  ## Compile the CUDA kernels for every target; checks their spills
	$(CONFIGURE) -B build/cuda -DSEMIDEEP_CUDA=ON -DSEMIDEEP_CUDA_TARGETS=ALL
	$(BIN)/cmake --build build/cuda --target semideep_cuda
	$(BIN)/python benchmarks/cuda_resources.py $(RESOURCE_OPTIONS) build/cuda

cuda-resources: .venv/tools.stamp  ## Registers and spills of the CUDA kernels, one target; fails where spills grew
	$(CONFIGURE_NATIVE)
	$(BIN)/cmake --build $(NATIVE) --target semideep_cuda
	$(BIN)/python benchmarks/cuda_resources.py $(NATIVE)

cuda-resources-accept:  ## Make the registers and spills of every target the baseline
	@$(MAKE) --no-print-directory cuda-build RESOURCE_OPTIONS=--accept
else
cuda-build cuda-resources cuda-resources-accept:
	$(NO_NVCC)
endif

gpu:  ## On a machine with a card, without downloads: build, test, measure; benchmarks/results/<gpu>.json
	$(GPU_PYTHON) benchmarks/gpu.py $(GPU_OPTIONS)

format: .venv/dev.stamp  ## Apply the style
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format
	@echo clang-format -i csrc
	@$(BIN)/clang-format -i $(CSRC)

clean:  ## Remove what was built; .venv stays (delete it to start over)
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f semideep_ext/*.so .venv/package.stamp

# A stamp is newer than what it stands for, so a second make installs nothing again.

.venv/tools.stamp:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade $(TORCH) setuptools cmake ninja
	@touch $@

.venv/package.stamp: .venv/tools.stamp pyproject.toml $(BUILD_INPUTS)
	$(INSTALL) .
	@touch $@

.venv/demo.stamp: pyproject.toml | .venv/package.stamp
	$(INSTALL) '.[train]'
	$(PIP) install matplotlib typer rich
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/package.stamp
	$(INSTALL) '.[dev]'
	@touch $@

.venv/bench.stamp: pyproject.toml | .venv/package.stamp
	$(INSTALL) '.[bench]'
	@touch $@

$(CEILINGS): benchmarks/ceilings.cpp CMakeLists.txt | .venv/tools.stamp
	$(CONFIGURE_NATIVE)
	$(BIN)/cmake --build $(NATIVE) --target ceilings
	@touch $@
