# Every target sets up .venv on first use; only git, make and Python 3.11+ are presumed.
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow check format bench docs lock clean

demo: $(READY)
	$(BIN)/longcut demo

test: $(READY)
	$(BIN)/pytest -m "not slow" -n 2 --dist worksteal

test-slow: $(READY)
	$(BIN)/pytest -m slow

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build

# The lock names versions and no addresses.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra segment --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --no-annotate --upgrade -o constraints.txt
	! grep -nE 'https?://' constraints.txt

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache docs/_build
