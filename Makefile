# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Needs only Python 3.11 or later with its venv package, make and git. All that is built or downloaded goes to .build/.
# make test PYTHON=python3.13      another interpreter
# make unit ARGS="-k record -x"    arguments for pytest
# make soak MINUTES=5 SEEDS="1 2"  shorter, and with seeds of an earlier run first

PYTHON ?= python3
ARGS ?=
MINUTES ?= 30
SEEDS ?=
RUN = $(PYTHON) -B tests/tools/run_steps.py --pytest-args='$(ARGS)'

.PHONY: help demo test soak bench setup unit units scenarios e2e e2e-full integration sanity lint site build clean

help:
	@echo "make demo         a maintenance of a simulated platform, from beginning to end"
	@echo "make test         what CI asks for: units, scenarios, smoke on each core, sanity, linters, build"
	@echo "make soak         the random tests for 30 minutes, with seeds of their own"
	@echo "make bench        against what others do, side by side: one table, in about 20 minutes"
	@echo "make unit         unit tests, plain pytest"
	@echo "make units        unit tests by ansible-test, with each ansible-core"
	@echo "make scenarios    playbooks against the simulated platform"
	@echo "make e2e          maintenances of real guests on a real Ceph; as root, installs Debian packages"
	@echo "make e2e-full     these and the long ones: Ceph that comes back broken, kills, outages in between"
	@echo "make integration  integration targets by ansible-test, with each ansible-core"
	@echo "make sanity       ansible-test sanity, with each ansible-core"
	@echo "make lint         linters, types, documentation, changelog, licences"
	@echo "make site         the documentation as a web site, in .build/site/html"
	@echo "make build        build, install and import check of the collection file"
	@echo "make setup        only the environments"
	@echo "make clean        remove .build"

demo:
	@$(PYTHON) -B tests/tools/run_steps.py --exec main sh tests/tools/demo.sh

test:
	@$(RUN)

soak:
	@PILW_TEST_SOAK_MINUTES='$(MINUTES)' PILW_TEST_SOAK_SEEDS='$(SEEDS)' $(RUN) soak soak-killed

# Nothing else should run meanwhile.
bench:
	@$(RUN) bench; status=$$?; cat .build/benchmark/table.md; exit $$status

setup:
	@$(RUN) --setup

unit:
	@$(RUN) unit

units:
	@$(RUN) 'units-*'

scenarios:
	@$(RUN) scenarios

e2e:
	@$(RUN) e2e-packages e2e

e2e-full:
	@$(RUN) e2e-packages e2e e2e-full scenarios-full

integration:
	@$(RUN) 'integration-*'

sanity:
	@$(RUN) 'sanity-*'

lint:
	@$(RUN) ruff yamllint shellcheck 'ansible-lint*' docs site changelog reuse mypy

site:
	@$(RUN) site

build:
	@$(RUN) build importer

clean:
	rm -rf .build
