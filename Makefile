# Every target makes .venv first when it is missing. HOME_DIR is the home that demo and ui work on.
PYTHON ?= python3
HOME_DIR ?= .found
PORT ?= 3000
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-long test-fast browser spark fuzz audit coverage bench bench-small bench-features bench-training bench-lookup ui lint format clean

# uv where it is there; else pip, upgraded first: the one that a Python brings takes minutes to resolve.
UV := $(shell command -v uv 2>/dev/null)

# Tests of engines need the extra `scale` (65 MB to load): where it cannot be had, they are skipped, and nothing else is.
WITHOUT_SCALE := echo "The extra scale could not be installed: tests of engines beside DuckDB will be skipped."

$(STAMP): pyproject.toml constraints.txt
ifdef UV
	test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) .venv
	uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,offline-text]'
	uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[scale]' || $(WITHOUT_SCALE)
else
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,offline-text]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[scale]' || $(WITHOUT_SCALE)
endif
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/found demo --home $(HOME_DIR)

# Files are given to workers in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) -m 'not long'

# What takes more than a minute each: kills, a forced run, leakage through a whole training, PostgreSQL, a deployment. And the rest
# of second engines, stores and trainers, of which `make test` runs what represents them.
test-long: $(STAMP)
	$(PYTEST) -m long

# All tests, a third slower, with the lines that none of them runs.
coverage: $(STAMP)
	$(PYTEST) --cov --cov-report=term

# What the tests of the console in a browser need: the extra `browser`, Chromium where this may install one, axe-core. Without it they are
# skipped, and pytest says so at its end.
browser: $(STAMP)
ifdef UV
	uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[browser]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
endif
	tests/browser.sh

# Apache Spark with its jars, for tests of a cluster: in an environment of its own, for it cannot lie beside its client. It needs Java 17.
spark: $(STAMP)
	$(PYTHON) -m venv .venv/spark
	.venv/spark/bin/python -m pip install --quiet --disable-pip-version-check --no-deps pyspark==4.0.1

test-fast: $(STAMP)
	$(PYTEST) -m 'not slow'

# Ten thousand generated inputs, others each time; `make test` draws a thousand that stay the same. FUZZ is how many.
FUZZ ?= 10000
fuzz: $(STAMP)
	FOUND_FUZZ=$(FUZZ) $(BIN)/python -m pytest -q tests/test_fuzz.py

# What is known of faults in the versions that are installed. Strict: a package that cannot be looked up is no clean one.
audit: $(STAMP)
	@$(BIN)/pip-audit --strict --disable-pip --no-deps -r constraints.txt || { echo "make audit: a version of constraints.txt has a \
	known fault, or one could not be looked up: the lines above say which. It needs the network, to reach PyPI." >&2; exit 1; }

# Everything that is timed, beside its peers, into docs/benchmarks.md; bench-small shows in minutes that it works.
bench: $(STAMP)
	$(BIN)/python benchmarks/all.py

bench-small: $(STAMP)
	$(BIN)/python benchmarks/all.py --small

bench-features: $(STAMP)
	$(BIN)/python benchmarks/features.py

bench-training: $(STAMP)
	$(BIN)/python benchmarks/training.py

bench-lookup: $(STAMP)
	$(BIN)/python benchmarks/lookup.py
	$(BIN)/python benchmarks/replay.py

# The console, Dagster (webserver and daemon) and MLflow on loopback, over what `found demo` left; Ctrl-C stops all of them.
ui: $(STAMP)
	$(BIN)/found serve --all --home $(HOME_DIR) --dagster-port $(PORT)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --lint --quiet found_platform
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .found
