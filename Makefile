# Everything runs with make; `make` alone sets up .venv. A second run does no set-up work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := install
.PHONY: install demo test e2e bench lint docs tools mutants lock clean

install: $(VENV)/.installed

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: gate needs Python 3.11 or later; set PYTHON" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The locks are complete, so nothing is resolved: only what they name is installed (--no-deps), each file by its hash.
# The build backend is locked like everything else, so the project is built without fetching anything that is not.
$(VENV)/.installed: $(VENV)/.created requirements.lock requirements-build.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock -r requirements-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.installed  ## gate at work on this machine: no cluster, no root
	$(BIN)/gate demo

test: $(VENV)/.developed  ## unit and integration tests: no network, about four minutes on two cores
	$(BIN)/python -m pytest -n 4 --dist loadfile

e2e: $(VENV)/.developed tools  ## real API server, registries and cosign
	$(BIN)/python -m pytest tests/e2e

bench: $(VENV)/.installed  ## under load, against the budgets; BENCH="--soak 100000" for the memory of a long run
	$(BIN)/python -m bench $(BENCH)

lint: $(VENV)/.developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed  ## write what docs/ has from the code anew; a test says when that is due
	$(BIN)/python -m tests.reasons_page
	$(BIN)/python -m tests.policy_schema

# Slow, so not part of continuous integration. MUTANTS="gate.core.trust.*" looks at some of them alone.
mutants: $(VENV)-mutants/.installed  ## what the tests of gate/core would not notice
	$(VENV)-mutants/bin/mutmut run $(MUTANTS)
	$(VENV)-mutants/bin/python tests/mutants.py

$(VENV)-mutants/.installed: requirements-mutants.lock
	$(PYTHON) -m venv $(VENV)-mutants
	$(VENV)-mutants/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-mutants.lock
	@touch $@

tools:  ## the tools of the end-to-end suite, built once into a cache outside the checkout (needs Go)
	$(PYTHON) tests/e2e/tools/build.py

lock:  ## write the locks anew; nothing else changes them
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv
	./.ci/lock $(VENV)-lock/bin/uv

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-mutants mutants .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
