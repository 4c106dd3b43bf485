# Everything heavy is a small Python script in .ci/. BUDGET=smoke|cpu|gpu|paper sizes the runs; PYTHON=... chooses the interpreter.
.DEFAULT_GOAL := help
.PHONY: help setup book html pdf lab test quick lint results bench latest sync clean
VENV := .venv
PY := $(VENV)/bin/python
BUDGET ?= cpu
export BUDGET
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# On Linux: memory in pages of 2 MiB. XLA allocates its buffers anew for every call; training on long sequences is 1.3 to 1.8 times as fast.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

help: ## list the targets
	@echo "make TARGET [BUDGET=smoke|cpu|gpu|paper] [PYTHON=python3.12]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

# The first interpreter that runs at all; .ci/bootstrap.py looks for a better one and says so when there is none.
BOOT := $(or $(PYTHON),$(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(shell command -v $(p) 2>/dev/null))))

setup: ## make .venv and install all that is pinned; nothing to do when nothing changed
	@test -n "$(BOOT)" || { echo "Python is missing: install Python 3.11, 3.12 or 3.13"; exit 1; }
	@PYTHON="$(PYTHON)" $(BOOT) .ci/bootstrap.py

book: setup ## execute the chapters that changed, build the pages, say which to open (about 24 min the first time, smoke: 12)
	@echo "Budget $(BUDGET): the chapters whose code changed are executed first. From nothing: about 12 minutes at smoke, 24 at cpu."
	@$(PY) .ci/execute.py --budget $(BUDGET)
	@$(PY) .ci/build.py --budget $(BUDGET)

html: setup ## build the pages from the executions that are there (half a minute)
	@$(PY) .ci/build.py --budget $(BUDGET)

pdf: setup ## the built pages as one PDF, printed by Chromium (a minute or two)
	@$(PY) .ci/pdf.py

lab: setup ## open the chapters in JupyterLab
	@$(PY) -m jupyter lab --notebook-dir=book

test: setup ## all that CI runs (40 to 55 min on two cores, and 3 to set up)
	@$(PY) .ci/test.py

quick: setup ## lint and the fast tests (about 12 min, twice that the first time)
	@$(PY) .ci/test.py lint fast

lint: setup ## ruff, mypy, codespell (half a minute)
	@$(PY) .ci/test.py lint

results: setup ## the stored runs under book/results, resumed where they stopped (hours)
	@$(PY) -m s5lib results

bench: setup ## the benchmark tables (an hour; leave the machine alone meanwhile)
	@$(PY) benchmarks/scan.py
	@$(PY) benchmarks/envs.py
	@$(PY) benchmarks/memory.py
	@$(PY) benchmarks/ppo.py
	@$(PY) benchmarks/amago.py

latest: ## the fast tests under the newest JAX that installs, in .venv-latest; JAX=0.11.2 for another, JAX=lowest for the lower bounds
	@PYTHON="$(PYTHON)" $(BOOT) .ci/bootstrap.py --latest
	@PYTEST_ADDOPTS="-W default" .venv-latest/bin/python .ci/test.py fast

sync: setup ## write the repository's address into chapters and README: make sync [REPO=owner/name]
	@$(PY) .ci/sync.py $(REPO)

clean: ## remove what was built; keep .venv
	rm -rf _build build dist s5lib.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
