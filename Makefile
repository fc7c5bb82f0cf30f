# `make help` lists the targets. What a machine needs for them is put there by devtools/set_up.py.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON := /usr/bin/python3
SET_UP := $(PYTHON) -IS devtools/set_up.py
VENV := .venv/bin
PYTEST_ARGS ?=
BENCH ?= full
DEBIAN ?= 13
HOSTS ?=
EXAMPLES ?= 300
NOT_THESE := --ignore tests/hosts --ignore tests/schemas
# Tests mostly wait, so there is one worker more than processors. Each has servers of its own.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
SIDE_BY_SIDE := --numprocesses $(WORKERS) --dist worksteal
# timelib is left out: it must be compiled, and Salt needs it only to read dates in words.
PIP_COMPILE := CUSTOM_COMPILE_COMMAND='make pins' ../build/pins/bin/pip-compile --quiet --upgrade --strip-extras \
  --no-emit-index-url --no-emit-find-links --annotation-style line --unsafe-package timelib
FILES := git -c safe.directory='*' ls-files --cached --others --exclude-standard

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv:  ## build .venv from the pinned requirements
	@$(SET_UP) dev

.PHONY: demo demo-clean
demo:  ## converge a private PostgreSQL under .demo/ with the repo's own states, and show it
	@$(SET_UP) demo
	@$(VENV)/python -B -m demo
demo-clean:  ## stop the demo and remove .demo/
	@if [ -e .demo -o -L .demo ]; then $(SET_UP) run && $(VENV)/python -B -m demo clean; fi

.PHONY: hosts hosts-clean box
hosts:  ## bring up the hosts of the Vagrantfile in containers and converge them (as root); HOSTS=one alone
	@$(PYTHON) -m devtools.hosts check
	@$(SET_UP) hosts
	@$(PYTHON) -m devtools.hosts up $(HOSTS)
hosts-clean:  ## end the hosts, and their network
	@if [ -e .vagrant ]; then $(PYTHON) -m devtools.hosts clean; fi
box:  ## build the box that the hosts are made from; DEBIAN=12 for another
	@$(PYTHON) -m devtools.hosts check
	@$(SET_UP) hosts
	@$(PYTHON) -m devtools.box $(DEBIAN)

.PHONY: test
test:  ## every test but those on hosts and of fetched schemas; PYTEST_ARGS="-k name" to choose, WORKERS=0 to debug
	@$(SET_UP) test
	@$(VENV)/python -m pytest tests -p devtools.could_not_run $(NOT_THESE) $(SIDE_BY_SIDE) --durations 20 \
	  $(PYTEST_ARGS)

.PHONY: fuzz
fuzz:  ## the tests whose examples hypothesis draws, with new ones and more; EXAMPLES=1000, SEED=7 to draw the same
	@$(SET_UP) test
	@seed=$${SEED:-$$RANDOM}; echo "make fuzz SEED=$$seed EXAMPLES=$(EXAMPLES)  # draws these again"; \
	  EXAMPLES=$(EXAMPLES) $(VENV)/python -m pytest tests -p devtools.could_not_run $(NOT_THESE) \
	  -m hypothesis --hypothesis-seed=$$seed $(SIDE_BY_SIDE) $(PYTEST_ARGS)

.PHONY: test-hosts
test-hosts:  ## the tests on hosts: brings them up, and ends them (as root)
	@$(SET_UP) dev
	@$(VENV)/python -m pytest tests/hosts -p devtools.could_not_run $(PYTEST_ARGS)

.PHONY: test-schemas
test-schemas:  ## converge PostgreSQL's regression database and the schemas of applications, which are fetched first
	@$(SET_UP) schemas
	@$(VENV)/python -m pytest tests/schemas -p devtools.could_not_run $(PYTEST_ARGS)

.PHONY: test-hostile
test-hostile:  ## every attack on every PostgreSQL, as a superuser and as a hosted admin; make test runs some
	@$(SET_UP) test
	@$(VENV)/python -m pytest tests/hostile -p devtools.could_not_run --every-major $(SIDE_BY_SIDE) $(PYTEST_ARGS)

LINTS := lint-python lint-format lint-states lint-yaml lint-workflow lint-examples lint-names
.PHONY: lint $(LINTS)
lint: venv  ## ruff, salt-lint, yamllint, zizmor, and the checks of CLI examples and of names
	@$(MAKE) --keep-going $(LINTS)
lint-python:
	@$(VENV)/ruff check --quiet
lint-format:
	@$(VENV)/ruff format --check --quiet
lint-states:
	@$(FILES) 'salt/*.sls' | xargs -r $(VENV)/salt-lint
lint-yaml:
	@$(FILES) '*.yml' '*.yaml' '.yamllint' 'pillar/*.sls' | xargs -r $(VENV)/yamllint --strict
lint-workflow:
	@$(VENV)/zizmor --offline --quiet --pedantic --format github conf/ci/github.yml
lint-examples:
	@$(PYTHON) -I devtools/check_cli_examples.py $(wildcard _modules/*.py _runners/*.py)
lint-names:
	@$(FILES) | $(PYTHON) -I devtools/check_names.py

.PHONY: format
format: venv  ## let ruff format and fix what it can
	@$(VENV)/ruff format --quiet
	@$(VENV)/ruff check --quiet --fix

.PHONY: bench
bench:  ## measure against Salt's own states and the floor; writes docs/benchmarks; BENCH=quick, node or load
	@$(SET_UP) demo
	@$(VENV)/python -m bench $(BENCH)

.PHONY: picture
picture:  ## run the demo once more, elsewhere, and put what it prints into README.rst and docs/
	@$(SET_UP) demo
	@$(VENV)/python -B -m demo picture

.PHONY: schema
schema: venv  ## write what pillar may hold into pillar/schema.json, for editors
	@$(VENV)/pgpillar schema > pillar/schema.json.new
	@mv pillar/schema.json.new pillar/schema.json

.PHONY: examples
examples: venv  ## write anew what the documentation shows of pgpillar
	@$(VENV)/python -m devtools.pictures

.PHONY: docs
docs: venv  ## build the documentation in docs/_build
	@$(VENV)/sphinx-build -q -W docs docs/_build

.PHONY: wheel
wheel: venv  ## build the wheel in dist/
	@rm -rf build/lib build/bdist.*
	@$(VENV)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: pins
pins:  ## find newer versions for requirements/*.txt (on Debian 12, the oldest Python)
	@$(PYTHON) -m venv build/pins
	@build/pins/bin/pip install --quiet pip-tools
	@cd requirements && for name in runtime cli dev; do $(PIP_COMPILE) $$name.in --output-file $$name.txt; done

.PHONY: clean
clean: demo-clean hosts-clean  ## remove everything that make has made
	@rm -rf .venv build dist *.egg-info docs/_build .pytest_cache .ruff_cache .hypothesis
