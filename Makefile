# Two commands do everything: `make demo` and `make test`. Both build .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some hundred Python processes start: without bytecode each would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE
# One more than the cores that are meant: some tests wait for leases and servers.
TEST_PROCESSES ?= 3

.PHONY: demo serve test checks lint types imports kernels servers unit clean

demo: $(VENV)/.installed
	$(BIN)/grpo demo

serve: $(VENV)/.installed
	$(BIN)/grpo serve

# What has to be there first is made side by side; then the checks run beside the tests, which wait for a tenth of
# their time.
test:
	$(MAKE) --no-print-directory -j 3 kernels $(VENV)/.installed-dev servers
	$(MAKE) --no-print-directory -j 2 checks unit

checks: lint types imports

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

kernels: $(VENV)/.installed
	$(BIN)/grpo warm --home .grpo

servers:
	sh tests/install_servers.sh

unit: $(VENV)/.installed-dev servers
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

clean:
	rm -rf $(VENV) .grpo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Bytecode is written where it is first needed: pip would compile everything, for as long as it installs.
$(VENV)/.installed: $(BIN)/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-compile -r requirements-dev.txt
	touch $@
