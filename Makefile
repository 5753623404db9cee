# Every target sets up .venv on first use; only git, make and Python 3.11+ are presumed.
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow check format bench oracles docs lock clean

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

# What public libraries make of the same images; they replace some of ours, so they live in an environment of their own.
oracles: .venv-oracles/.ready
	.venv-oracles/bin/python tests/oracles/make_corruptions.py

.venv-oracles/.ready:
	test -x .venv-oracles/bin/python || $(PYTHON) -m venv .venv-oracles
	.venv-oracles/bin/python -m pip install --quiet --disable-pip-version-check imagecorruptions-imaug==1.1.5
	touch $@

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build

# The lock names versions and no addresses.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra segment --extra export --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --no-annotate --upgrade -o constraints.txt
	! grep -nE 'https?://' constraints.txt

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache docs/_build
