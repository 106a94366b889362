# codepool: the commands that always hold. Each sets up what it needs and then does its job.
#   make demo    a hospital morning on this machine, no root: ARGS="--once --seed 7 --json out.json", ARGS="--broker mosquitto"
#   make test    everything a change must pass; ARGS="-k lifecycle" for a part
#   make check   lint, format, types, units
#   make bench   speed beside raw loops; GOALS=2,5
#   make scale   a million facts that wait, 200 agents at once, thirty days offline: figures as JSON, some minutes
#   make simulate SEEDS=500   the fleet in a deterministic simulation; make mutants: bugs that it must catch
#   make messages   collect the texts of all screens into their catalogues, and compile these
#   make lock    resolve and hash the dependencies again

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
GOALS  ?=
SEEDS  ?= 500
FIRST  ?= 1

.PHONY: demo test check format functions messages bench scale simulate mutants lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp
	@$(BIN)/codepool-sims demo $(ARGS)

test: $(VENV)/dev.stamp
	@sh tests/system_packages.sh
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	sh systemd/verify.sh

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

scale: $(VENV)/dev.stamp
	$(BIN)/python -m tests.scale.backlog --facts 1000000
	$(BIN)/python -m tests.scale.reconnect --agents 200
	$(BIN)/python -m tests.scale.thirty_days --days 30

# The tables of functions and faults, from the `covers` and `fault` marks of the tests.
functions: $(VENV)/dev.stamp
	$(BIN)/python tests/tables.py

messages: $(VENV)/dev.stamp
	$(BIN)/python -m edge_agent.screens.catalogue
	$(BIN)/pybabel -q extract -F central/console/locales/babel.cfg --omit-header --sort-output --no-location \
	  -k message -k say -k count:1,2 -o .messages.pot central/console
	$(BIN)/pybabel -q update -D central -l zh_CN -i .messages.pot -d central/console/locales --no-fuzzy-matching --ignore-pot-creation-date
	$(BIN)/pybabel -q compile -D central -l zh_CN -d central/console/locales
	@rm -f .messages.pot

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "codepool needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which to use: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { echo "Python has no venv module. On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/demo.stamp: $(VENV)/pyvenv.cfg requirements/build.txt requirements/demo.txt pyproject.toml
	@[ -e $(VENV)/dev.stamp ] || { echo "Setting up $(VENV) (once, about a minute) …"; \
	  $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/demo.txt && \
	  PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; }
	@touch $@

$(VENV)/dev.stamp: $(VENV)/pyvenv.cfg requirements/dev.txt pyproject.toml
	@echo "Setting up $(VENV) for development (once, about a minute) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock:
	cd requirements && sh lock.sh ../$(BIN)

# Benchmarks beside their raw loops: one table and bench.json. GOALS=2,5 runs some.
bench: $(VENV)/dev.stamp
	$(BIN)/python tests/benchmarks/run.py $(if $(GOALS),--goals $(GOALS)) --json bench.json

# The whole fleet in a deterministic simulation, seed by seed, and the protocol mutants that it must catch.
simulate: $(VENV)/dev.stamp
	$(BIN)/python tests/simulation/run.py --seeds $(SEEDS) --first $(FIRST)

mutants: $(VENV)/dev.stamp
	$(BIN)/python tests/simulation/run.py --mutants

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info out
