# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Needs only Python 3.11 or later with its venv package, make and git. All that is built or downloaded goes to .build/.
# make test PYTHON=python3.13      another interpreter
# make unit ARGS="-k record -x"    arguments for pytest

PYTHON ?= python3
ARGS ?=
MINUTES ?= 30
SEEDS ?=
NOX := .build/nox-venv
LANES = exec $(NOX)/bin/python -B tests/tools/lanes.py
RUN = $(NOX)/bin/nox --noxfile noxfile.py --session

.PHONY: help demo test test-all test-full soak bench setup unit scenarios e2e e2e-full integration sanity lint site build clean

help:
	@echo "make demo         a maintenance of a simulated platform, from beginning to end"
	@echo "make test         units, scenarios, ten whole playbooks, sanity, linters, docs, build: under ten minutes"
	@echo "make test-all     what CI runs: that, all playbooks, each ansible-core, SSH, a real Ceph with real guests, a browser"
	@echo "make test-full    that, the long scenarios, soak and bench: hours"
	@echo "make unit scenarios lint sanity integration site build e2e e2e-full     parts of it"
	@echo "make soak         the random tests for 30 minutes, with seeds of their own; MINUTES=5 SEEDS=\"1 2\""
	@echo "make bench        against what others do, side by side: one table, in about 20 minutes"
	@echo "make setup        an environment with Ansible and what the tests need: .build/nox/dev"
	@echo "make clean        remove .build"
	@echo "$(NOX)/bin/nox --list     all sessions"

$(NOX)/made: tests/requirements-nox.txt
	@$(PYTHON) -m venv --clear $(NOX)
	@$(NOX)/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements-nox.txt
	@touch $@

demo setup test test-all test-full soak bench unit scenarios e2e e2e-full integration sanity lint site build: $(NOX)/made

demo:
	@$(RUN) demo

setup:
	@$(RUN) dev

test:
	@$(LANES) test

test-all:
	@$(LANES) test all

# Nothing else should run during the measurements of the last session.
test-full:
	@$(LANES) --limit 180 test all full

soak:
	@$(RUN) soak -- $(MINUTES) $(SEEDS)

bench:
	@$(RUN) bench; status=$$?; cat .build/benchmark/table.md; exit $$status

unit:
	@$(LANES) unit -- $(ARGS)

scenarios:
	@$(LANES) scenarios playbooks playbooks-all -- $(ARGS)

e2e:
	@$(LANES) --limit 60 e2e -- $(ARGS)

e2e-full:
	@$(LANES) --limit 180 e2e e2e-full playbooks-full -- $(ARGS)

integration sanity:
	@$(LANES) $@

lint:
	@$(LANES) lint ansible-lint ansible-lint-args docs-check license-check extra-checks

site build:
	@$(RUN) $@

clean:
	rm -rf .build
