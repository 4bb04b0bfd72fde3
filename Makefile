# Two commands: `make app` and `make test`. Both make their own virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip compiles one file after the other; some that no Python of today can read are among them.
PIP := $(BIN)/python -m pip install --quiet --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export TF_CPP_MIN_LOG_LEVEL ?= 2
# `make test TORCH=` does without PyTorch (large where it comes with CUDA); the tests that need it are then skipped.
TORCH ?= yes
# The same for Ray: `make test RAY=`.
RAY ?= yes
# Tests run side by side: threads that one test's frameworks start take cores from another's, and spin while they wait.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
# A test runs a program once or twice: XLA takes longer to make it fast than to run it.
ONE_THREAD += JAX_DISABLE_MOST_OPTIMIZATIONS=1

.PHONY: app test system bench check sbom audit-pins lock fuzz clean

app: $(VENV)/.app
	$(BIN)/streamlit run app.py

# What comes from Debian is installed beside what comes from PyPI, and the types are checked meanwhile.
test:
	$(MAKE) --jobs=3 system check $(VENV)/.tests
	$(ONE_THREAD) $(BIN)/pytest --numprocesses auto --dist loadfile

system:
	! command -v apt-get >/dev/null || (command -v chromium && ls /usr/lib/postgresql/*/bin/initdb) >/dev/null 2>&1 \
		|| ($(SUDO) apt-get update && $(SUDO) apt-get install --yes chromium postgresql)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# How fast the product is, against other ways and the machine's own limits; then the table in the README.
bench: $(VENV)/.tests
	$(PIP) --no-deps --requirement requirements-xrv.txt
	$(PIP) --no-deps --requirement requirements-bench.txt
	$(BIN)/python -m benchmarks.speed --json benchmarks/speed.json
	$(BIN)/python -m scripts.update_readme

$(VENV)/.app: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11 to 3.13 is needed.")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --requirement requirements.lock
	$(COMPILE)
	touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.lock
	$(PIP) --requirement requirements-dev.lock
	touch $@

$(VENV)/.tests: $(VENV)/.dev requirements-xrv.txt requirements-ray.txt
	[ -z "$(TORCH)" ] || $(PIP) --no-deps --requirement requirements-xrv.txt
	[ -z "$(TORCH)" ] || $(PIP) torch
	[ -z "$(RAY)" ] || $(PIP) --requirement requirements-ray.txt
	$(COMPILE)
	touch $@

# What the app is made of, with licences, as CycloneDX; needs no network.
sbom: $(VENV)/.dev
	$(BIN)/python -m scripts.sbom build/sbom.json

# Whether anything is known against the pins; needs the network, and says so where it has none.
audit-pins: $(VENV)/.dev
	$(BIN)/python -m scripts.audit_pins

# Pin everything anew, for all supported versions of Python, after a change of requirements*.txt.
lock: $(VENV)/.app
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header requirements.txt -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header requirements.txt requirements-dev.txt \
		-o requirements-dev.lock

# Look for files that break the readers; what is found is kept in cache/fuzz/crashes.
SECONDS ?= 60
fuzz: $(VENV)/.dev
	$(BIN)/python -m scripts.fuzz_read_radiograph --seconds $(SECONDS)

clean:
	rm -rf $(VENV) cache .pytest_cache .mypy_cache .ruff_cache
