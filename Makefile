# Every target sets up what it needs in .venv; the pins are in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test test-all check format bench bench-kernels bench-layers bench-forecast
.PHONY: bench-training bench-tasks bench-streams bench-insight bench-sequences bench-pairs
.PHONY: bench-language docs clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## the main job on built-in data: train, compare, forecast, plot
	$(BIN)/recurnn forecast --out out/forecast --overwrite

test: $(VENV)/.dev  ## the fast set, some five minutes on two cores, and ten more to compile kernels at first
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.dev  ## every test, the slow ones included
	$(BIN)/pytest -n 2 --dist loadfile

check: $(VENV)/.dev  ## format, lint, types, import order, tests, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.dev  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-kernels bench-layers bench-forecast bench-training bench-tasks bench-streams
bench: bench-insight bench-sequences bench-pairs bench-language  ## every benchmark there is

bench-kernels: $(VENV)/.bench  ## the compiled kernels beside torch, jax and onnxruntime
	$(BIN)/python benchmarks/kernels.py

bench-layers: $(VENV)/.bench  ## what the layers' options cost, beside torch and Keras
	$(BIN)/python benchmarks/layers.py

bench-forecast: $(VENV)/.dev  ## the electricity load: networks beside baselines
	$(BIN)/python benchmarks/forecast.py

bench-training: $(VENV)/.bench  ## a training epoch beside PyTorch and Keras
	$(BIN)/python benchmarks/training.py

bench-tasks: $(VENV)/.dev  ## the long-lag problems: what LSTM, GRU and Elman learn of them
	$(BIN)/recurnn tasks all

bench-streams: $(VENV)/.dev  ## memory of ten million steps, read and trained on
	$(BIN)/python benchmarks/streams.py

bench-insight: $(VENV)/.dev  ## how right looking inside is, what it costs, which planted faults it names
	$(BIN)/python benchmarks/insight.py
	$(BIN)/python benchmarks/verdicts.py

bench-sequences: $(VENV)/.dev  ## classifying and tagging real sequences; what unequal lengths cost
	$(BIN)/python benchmarks/lengths.py
	$(BIN)/python benchmarks/sequences.py

bench-pairs: $(VENV)/.dev  ## pronouncing, translating, names and strokes, beside baselines
	$(BIN)/python benchmarks/pairs.py

bench-language: $(VENV)/.dev  ## language models on real text, n-grams, the output layer, writing
	$(BIN)/python benchmarks/output_layer.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/ngrams.py
	$(BIN)/python benchmarks/language.py

docs: $(VENV)/.dev  ## the documentation, served on this machine
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:  ## remove all that the other targets made
	rm -rf $(VENV) site out build dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[dev,bench]'
	touch $@
