# The commands of this project. `make quickstart` and `make test` do all the set-up themselves.
BIN := .venv/bin
READY := .venv/ready
SHELL := /bin/bash
# A process for each core; files are not divided, since tests of one file share what is dear to make.
TEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup browser quickstart train test test-slow lint mlflow serve clean

help:  ## what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(READY)  ## create .venv and install what is needed

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/pip || python3 -m venv --clear .venv
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	touch $@

browser:  ## Chromium, for the tests of the page (Debian, as root); without it they are skipped
	command -v chromium >/dev/null || (apt-get update && apt-get install -y --no-install-recommends chromium)

quickstart: setup  ## train the four small models on the built-in catalogue and compare them
	$(BIN)/python train.py -m model=resnet_tiny,clip_tiny,vit_tiny,autoencoder_tiny experiment=quickstart
	$(BIN)/python evaluate.py sweep=last
	@echo 'The runs in the browser: make mlflow   One of them again: $(BIN)/python evaluate.py run=RUN'

train: setup  ## one run: make train ARGS="model=vit data=folder data.root=PATH"
	$(BIN)/python train.py $(ARGS)

test: setup  ## the tests; ARGS="tests/data -x" is passed on
	$(TEST) $(ARGS)

test-slow: setup  ## the tests that take long (exit status 5: there are none)
	$(TEST) -m slow $(ARGS) || test $$? = 5

lint: setup  ## style, formatting, types and the direction of imports
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

mlflow: PORT ?= 5000
mlflow: setup  ## the runs in the browser; prints the address that shows the columns that matter; PORT=5002
	@echo "Open $$($(BIN)/python -m lens.tracking view --server http://127.0.0.1:$(PORT))"
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1 --port $(PORT) \
	  --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

serve: setup  ## the search page at http://127.0.0.1:8001; ARGS="run=RUN_ID port=8002" is passed on
	$(BIN)/python -m lens.serve $(ARGS)

clean:  ## remove .venv and the tools' caches; runs, pictures and mlflow.db stay
	rm -rf .venv build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
