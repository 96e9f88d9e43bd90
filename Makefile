# `make` lists what can be made. Every target first makes .venv and what it needs, once per change of the pins.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
RUN := OMP_NUM_THREADS=1 $(VENV)/bin/python
# Pins, installer and place: a change of any of them asks for a new installation.
PINS := $(firstword $(shell (cat pyproject.toml scripts/setup.sh; pwd) | sha256sum))
STAMP := $(VENV)/.installed-$(PINS)
BENCH_STAMP := $(VENV)/.installed-bench-$(PINS)
# Options for the program that a target runs, such as `make test ARGS="-k onnx"`.
ARGS ?=

.PHONY: help demo test test-all check format bench accuracy instructions fuzz venv clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(STAMP) ## the main job: a trained network compiled for this machine and an emulated AArch64 board
	$(RUN) scripts/demo.py $(ARGS)

test: $(STAMP) ## all tests but the slow ones
	$(RUN) -m pytest $(ARGS)

test-all: $(STAMP) ## all tests, the slow ones too
	$(RUN) -m pytest --slow $(ARGS)

check: $(STAMP) ## format, lint and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: $(STAMP) ## rewrites the sources in the project's format
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: $(BENCH_STAMP) ## latency on this machine beside ONNX Runtime, OpenVINO, MNN, ncnn and PyTorch, float32 or int8
	$(RUN) -m scripts.bench $(ARGS)

accuracy: $(BENCH_STAMP) ## rounding errors of the zoo's networks beside those of ONNX Runtime
	$(RUN) -m scripts.accuracy_table $(ARGS)

instructions: $(BENCH_STAMP) ## instructions of an inference on an emulated AArch64 board, beside ONNX Runtime
	$(RUN) -m scripts.instructions $(ARGS)

fuzz: $(STAMP) ## 2,000 random ONNX graphs against ONNX Runtime
	$(RUN) scripts/fuzz_onnx.py $(ARGS)

venv: $(STAMP) ## .venv with the pinned packages

$(STAMP):
	@PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	@rm -f $(VENV)/.installed-*
	@touch $@

$(BENCH_STAMP): $(STAMP)
	@PYTHON=$(PYTHON) scripts/setup.sh $(VENV) bench
	@touch $@

clean: ## removes what was built; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find edgecompile targets schedules tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
