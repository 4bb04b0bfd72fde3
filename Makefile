# Two commands: `make app` and `make test`. Both make their own virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export TF_CPP_MIN_LOG_LEVEL ?= 2
# `make test TORCH=` does without PyTorch (large where it comes with CUDA); the tests that need it are then skipped.
TORCH ?= yes
# The same for Ray: `make test RAY=`.
RAY ?= yes

.PHONY: app test check lock clean

app: $(VENV)/.app
	$(BIN)/streamlit run app.py

test: $(VENV)/.dev
	! command -v apt-get >/dev/null || (command -v chromium && ls /usr/lib/postgresql/*/bin/initdb) >/dev/null 2>&1 \
		|| ($(SUDO) apt-get update && $(SUDO) apt-get install --yes chromium postgresql)
	$(MAKE) check
	$(BIN)/pytest --numprocesses auto --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.app: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11 to 3.13 is needed.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.lock
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	[ -z "$(TORCH)" ] || $(BIN)/python -m pip install --quiet --no-deps --requirement requirements-xrv.txt
	[ -z "$(TORCH)" ] || $(BIN)/python -m pip install --quiet torch
	[ -z "$(RAY)" ] || $(BIN)/python -m pip install --quiet --requirement requirements-ray.txt
	touch $@

# Pin everything anew, for all supported versions of Python, after a change of requirements*.txt.
lock: $(VENV)/.app
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header requirements.txt -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header requirements.txt requirements-dev.txt \
		-o requirements-dev.lock

clean:
	rm -rf $(VENV) cache .pytest_cache .mypy_cache .ruff_cache
