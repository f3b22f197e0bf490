# What people do with this repository; `make` alone lists it. Needs Python 3.11 with pip, and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
CHECKED := protocol broker

.DEFAULT_GOAL := help
.PHONY: help run test lint unit format reference clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(VENV)/.installed ## run the broker on 127.0.0.1:5672, data in ./data
	@echo "Connect to amqp://guest:guest@127.0.0.1:5672/ - stop with Ctrl-C"
	@exec $(BIN)/leveret serve --config config/development.conf --data-dir $(DATA)

test: lint unit ## everything that must pass: format, style, types, all tests
lint: $(VENV)/.installed-test ## formatting, style and types, without changing a file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict $(CHECKED)

# The tests mostly wait; each of the two processes has brokers of its own.
unit: $(VENV)/.installed-test ## unit tests and conformance suite
	$(BIN)/python -m pytest -n 2 --dist loadfile tests conformance

format: $(VENV)/.installed-test ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: $(VENV)/.installed ## write config/leveret.conf from the table of settings
	$(BIN)/leveret settings > config/leveret.conf

clean: ## remove the virtual environment and caches; ./data stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Debian's python3 comes without ensurepip; there the system's pip fills the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leveret needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV) && $(PYTHON) -m venv --without-pip $(VENV) \
		&& $(PYTHON) -m pip --quiet --python $(BIN)/python install pip; }

# The stamps are older than pyproject.toml exactly when dependencies may have changed.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,clients]'
	@touch $@ $(VENV)/.installed
