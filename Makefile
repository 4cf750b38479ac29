SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup repro app test check coverage lint export bench grid retrieval cav-mae shared-encoder identification small-data lock clean

# The newest Python that is supported and there; name another with `make PYTHON=python3.11`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
UV := 0.13.8
# DVC starts the stages with plain `python`: that of .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME
# Images for containers set it: then each process would compile all code that it imports, torch's too.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: .venv/ready ## make .venv with the exact versions of requirements.txt

.venv/ready: requirements.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 found: install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment (on Debian: install python3-venv)"; exit 1; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --requirement requirements.txt
	@.venv/bin/python -c 'import av, cv2, dvc, lightning, torch, torchvision'
	@touch $@

repro: setup ## run the pipeline: data, training, evaluation, report; only what changed
	@dvc repro
	@python -m pipeline.report.terminal_table

app: setup ## ask the trained model in a browser, on this machine alone (python -m app --help)
	@python -m app

test: setup ## run the tests
	@python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: lint ## lint, and the tests of what changed since the last commit
	@tests=$$(python -m testing.changed); [ -z "$$tests" ] || python -m pytest -q -n auto --dist loadfile $$tests

coverage: setup ## run the tests, and fail where less than 90% of the lines of pipeline/ and models/ ran
	@rm -rf .coverage; mkdir .coverage
	@COVERAGE_FILE=$(CURDIR)/.coverage/data coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder
	@COVERAGE_FILE=$(CURDIR)/.coverage/data coverage combine --quiet .coverage 2>/dev/null # of what tests killed, some is torn
	@COVERAGE_FILE=$(CURDIR)/.coverage/data coverage report --sort=cover

lint: setup ## ruff: rules and format; mypy: types; import-linter: imports; deptry: dependencies; names; generated files
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports --no-logo --no-cache
	@python -m pipeline.config.schema --check
	@python -m testing.names
	@deptry .
	@deptry . --exclude '^(\.venv|build|tmp)/|^setup\.py$$' --ignore DEP002,DEP004 # tests and benchmarks too

export: setup ## write the trained model to dist/: weights, ONNX, a model card (python -m app.export --help)
	@python -m app.export

bench: setup ## measure speed, memory, honesty and what breaks into benchmarks/results, after make repro
	@for b in speed versus overheads profiles scale cluster memory search app features encoders towers honesty people cav_mae \
		fuzz kills determinism; do python -m benchmarks.$$b; done

grid: setup ## videosound_matching: train and evaluate each encoder with each under each loss
	@dvc --cd experiments/videosound_matching repro
	@python -m experiments.table

retrieval: setup ## objects_that_sound: L3-Net and AVE-Net in retrieval
	@dvc --cd experiments/objects_that_sound repro
	@python -m experiments.table

cav-mae: setup ## cav_mae: pretraining without labels, and what it gives where labels are few
	@dvc --cd experiments/cav_mae repro
	@python -m experiments.table

shared-encoder: setup ## shared_encoder: one image network for sounds and faces
	@dvc --cd experiments/shared_encoder repro
	@python -m experiments.table

identification: setup ## identification: who it is, by face and voice
	@dvc --cd experiments/identification repro
	@python -m experiments.table

small-data: setup ## small_data: what frozen networks give where clips are few
	@dvc --cd experiments/small_data repro
	@python -m experiments.table

lock: setup ## compile requirements.txt from pyproject.toml anew
	@uv pip compile --quiet --universal --python-version 3.11 --group dev --extra cluster --extra hub --extra benchmarks --no-annotate --no-header --upgrade \
		pyproject.toml --output-file requirements.txt

clean: ## delete what the pipeline made (DVC's cache and .venv stay)
	rm -rf data checkpoints pretrained resume report experiments/resume experiments/*/data experiments/*/models experiments/*/report .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
