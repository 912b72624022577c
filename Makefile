# Everything runs in an environment of the checkout's own: nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
# Most tests compile for longer than they run.
FAST_COMPILE := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false

.PHONY: map test lint readme clean

map: $(STAMP)  ## draw the first convergence map: out/digits-mlp-adam.png
	$(BIN)/adamlab map --problem digits-mlp --optimizer adam --output out/digits-mlp-adam --resume

test: $(STAMP)  ## run the tests
	$(PYTEST) -m rounding
	XLA_FLAGS="$$XLA_FLAGS $(FAST_COMPILE)" $(PYTEST) -m "not rounding"

lint: $(STAMP)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

readme: $(STAMP)  ## put the measured figures into the README
	$(BIN)/python -m experiments readme

clean:  ## remove the environment and what the runs left
	rm -rf .venv out build *.egg-info

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "adamlab needs Python 3.11 or newer; say which: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	touch $(STAMP)
