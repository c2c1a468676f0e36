# Two commands do everything: `make repro` rebuilds all results, `make test` checks the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install repro pull push test test-all lint bench clean

install: $(INSTALLED)

repro: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@$(BIN)/attune where

# What the team's remote has for this version, with the run-cache, so that `dvc repro` has nothing to do.
pull: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc pull --run-cache --allow-missing

# Not before the raw recordings have a remote of their own: what shows a child is not for the team's default one.
push: $(INSTALLED)
	$(BIN)/python -m attune.privacy.guard --recordings
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc push --run-cache

test: lint
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest -n 2 --dist loadgroup

# Also what needs a browser, servers, SLURM or patience; installs them from Debian where they are absent.
SERVICES := chromium debootstrap openssh-server slurm-wlm munge
test-all: lint
	dpkg --status $(SERVICES) >/dev/null 2>&1 || \
		$$([ "$$(id -u)" = 0 ] || echo sudo) sh -c 'apt-get update && apt-get install --yes --no-install-recommends $(SERVICES)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,all]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt quantus
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest -n 2 --dist loadgroup -m ""

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/python -m attune.privacy.guard; fi

bench: $(INSTALLED)
	@for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# What `dvc repro` makes again. A lab's own recordings, `engagement.raw`, stay.
clean:
	rm -rf $(VENV) data/demo data/processed data/report data/work models .pytest_cache .mypy_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
