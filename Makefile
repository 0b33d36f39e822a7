# One virtual environment, made when it is missing; exact versions from constraints.txt.
#   make demo    set up and run the main job          make app     set up and open the web app
#   make test    set up and run every check and test  make check   the static checks alone
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n auto --maxprocesses 8 --dist loadfile
BIN := $(VENV)/bin
CODE := advisor calibration tests $(wildcard app.py benchmarks examples)

.DEFAULT_GOAL := help
.PHONY: help demo test app check setup cases audit clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.live ## set up, run the main job on the shipped example, then prove it live on this machine
	$(BIN)/advisor demo
	$(BIN)/calibrate demo

test: check ## set up, check and test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

app: $(VENV)/.app ## set up and serve the web app on this machine
	$(BIN)/python -m streamlit run app.py --server.address 127.0.0.1 --server.headless true \
		--browser.gatherUsageStats false

check: $(VENV)/.dev ## static checks: lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo

setup: $(VENV)/.dev ## everything that checks, tests and the app need

cases: $(VENV)/.dev ## ask every case of docs/cases anew and write its page
	$(BIN)/python -m benchmarks.build_cases

audit: ## known vulnerabilities of the pinned dependencies, in an environment of its own
	@$(PYTHON) -m venv --clear $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 || true
	$(VENV)/audit/bin/python .ci/audit.py

clean: ## remove the environment and every cache
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist

# --- the environment: live (with the live engine), app (with the web app), dev (with checks and tests)

$(VENV)/.live: EXTRAS := [calibrate]
$(VENV)/.app: EXTRAS := [app]
$(VENV)/.dev: EXTRAS := [app,calibrate,dev,import,reference]

$(VENV)/.live $(VENV)/.app $(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "LoRA Advisor needs Python 3.11 or newer; say make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@
