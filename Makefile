# make demo   set everything up, then the main job on the bundled mock galaxy (viewer, or headless without a display)
# make test   set everything up, then the tests
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export QT_API ?= pyqt5

# What napari compiles for its first shapes and labels, and keeps: half a minute of the first window, or of each worker.
WARM_UP := from napari_sfh._qt.jobs import preload as p; p.warm_up_napari(); p.warm_up_triangulation(); p.warm_up_label_colors()

.PHONY: demo test real proofs docs dist dist-test lint style types suite system performance gpu clean help
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "napari-sfh needs Python 3.11 or newer; run: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module; run: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[pyqt5,kinematics,training,test]"
	@$(BIN)/python -m compileall -q src training
	@$(BIN)/python -c '$(WARM_UP)' || echo "the first window will compile what napari needs for shapes and labels"
	@touch $@

system: ## system libraries of Qt and OpenGL (installs them when root on Debian, else says what to run)
	@bash .ci/system-libraries

demo: system $(STAMP) ## the main job on the bundled mock galaxy; HEADLESS=1 forces no window
	$(BIN)/napari-sfh demo --output demo-output $(if $(or $(HEADLESS),$(if $(DISPLAY)$(WAYLAND_DISPLAY),,1)),--headless)

test: system style ## lint, types and imports beside the tests that are not slow ones (make proofs), on two cores; the real galaxy
	@$(MAKE) --no-print-directory -j 2 types suite
	@$(MAKE) --no-print-directory real

# One thread a worker, Numba's too: napari's labels would give its number to PyTorch, whose threads wait for each other.
# A worker more than cores: windows, threads and processes are waited for a quarter of the time.
WORKERS ?= 3
suite: system $(STAMP) # windows on virtual screens
	@OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: style types ## format, style, types, imports

style: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) # and imports, on an installed copy, where training/ is a subpackage
	@rm -rf build $(VENV)/lint
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target $(VENV)/lint .
	MYPYPATH=$(VENV)/lint $(BIN)/mypy
	PYTHONPATH=$(VENV)/lint $(BIN)/lint-imports
	$(BIN)/npe2 validate napari-sfh

# E(B-V) is the user's to give; 0.45 mag is no measurement but a value of the size of the dust in front of Abell 478
# (behind Taurus). Override it with the one of a dust map: make real EBV_A478=...
EBV_A478 ?= 0.45
real: $(STAMP) ## the real MUSE cube and HST image of Abell 478, fetched by package name
	$(BIN)/python tests/real/fetch_abell478.py real-output/abell478
	$(BIN)/napari-sfh run real-output/abell478 --target-snr 15 --ebv-mw $(EBV_A478) --output real-output/abell478_sfh.fits

proofs: system $(STAMP) ## the slow tests: walks, tutorials, killed runs; template libraries (fetched, 0.3 GB) against published tables and physics
	$(BIN)/napari-sfh-train templates
	@$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

docs: $(STAMP) ## the site, into docs/_build/html: tutorials run, a warning or a broken link between pages is an error
	@$(BIN)/python -c 'import myst_nb, numpydoc, pydata_sphinx_theme, sphinx_design, sphinx_copybutton' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -q -j 2 -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

dist: $(STAMP) ## a wheel in dist/, to be installed elsewhere
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

dist-test: $(STAMP) ## build wheel and sdist, install them into empty environments of Python 3.11, 3.12, 3.13 and run there
	$(BIN)/python .ci/dist_test.py

performance: $(STAMP) ## measure this machine, write docs/results/performance.md
	$(BIN)/python benchmarks/performance.py

gpu: $(STAMP) ## on a machine with a GPU, ten minutes: tests marked cuda, throughput, simulator, training
	$(BIN)/napari-sfh-train templates
	$(BIN)/python benchmarks/gpu.py

clean: ## remove what the commands above made
	rm -rf $(VENV) demo-output real-output build dist docs/_build docs/reference/api docs/reference/_*.md docs/tutorials/output src/*.egg-info
