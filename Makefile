# Two commands do all the set-up: `make report` and `make test`. A plain `make` lists the rest.
SHELL := /bin/bash
TIER ?= smoke
VENV := .venv
BIN := $(VENV)/bin
# The first Python from 3.11 to 3.13 that really starts; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help report test lab chapters export readme peers lock clean

help:  ## list the targets
	@echo "deeplearn: an executable, falsifiable textbook of deep learning"; echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

report: $(VENV)/ready  ## run every experiment into reports/ (TIER=smoke, laptop or full)
	@$(BIN)/deeplearn run --all --tier $(TIER)

test: $(VENV)/ready  ## run all tests
	@$(BIN)/python -m pytest

lab: $(VENV)/ready  ## open JupyterLab on the chapters
	@$(BIN)/jupyter lab nbs/index.ipynb

chapters: $(VENV)/ready export  ## run the chapters in place and save their outputs (ONLY=part/name for one)
	@$(BIN)/python -m deeplearn.runner.chapters run $(ONLY)

export: $(VENV)/ready  ## make deeplearn/, README.md and data/README.md from the notebooks
	@$(BIN)/nbdev_export
	@$(BIN)/python -m deeplearn.runner.chapters generate

peers: $(VENV)/ready  ## install the libraries that benchmarks and parity tests compare with
	@$(BIN)/pip install -q -c constraints.txt -c constraints-peers.txt -e '.[peers]'

lock: $(VENV)/ready  ## compute constraints.txt from settings.ini again
	@$(BIN)/pip install -q uv
	@$(BIN)/uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url -q \
		--extra lab --extra dev pyproject.toml -o constraints.txt

clean:  ## remove the environment, runs and everything that was built
	@rm -rf $(VENV) build dist *.egg-info reports/runs reports/index.html .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ready: settings.ini setup.py pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "deeplearn needs Python 3.11, 3.12 or 3.13 on the PATH, and found none." >&2; \
		echo "Received: $$(python3 --version 2>&1 || echo no python3). Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 7; fi
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
		"deeplearn needs Python 3.11, 3.12 or 3.13. Received: PYTHON=$(PYTHON), which is %d.%d" % v)'
	@echo "setting up $(VENV) with $(PYTHON) (a few minutes, once)" >&2
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@touch $@
