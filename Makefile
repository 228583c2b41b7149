# lmkd: what can be done here. `make` alone lists it. On Debian every target brings what it lacks by itself.
.DELETE_ON_ERROR:
.PHONY: help run test unit lint board-test board-long bench docs site man image wheel clean distclean

VENV := .venv
PYTHON := $(VENV)/bin/python
VENV_READY := $(VENV)/.ready
BOARD_READY := build/board-packages
ARM64_READY := build/arm64-packages
REPORTS := build/reports
# Such as --seeds 3, or --only grow-30-comp; see: python -m tests.board bench --help
BENCH_OPTIONS :=
# Real processes and an emulator share this machine with others. What fails twice has failed; pytest counts the reruns.
RERUNS := --reruns 1 -r fER

BOARD_PACKAGES := qemu-system-arm mmdebstrap gcc-arm-linux-gnueabihf libc6-dev-armhf-cross e2fsprogs cpio gzip kmod
ARM64_PACKAGES := gcc-aarch64-linux-gnu libc6-dev-arm64-cross

help:
	@echo 'make run         boot the emulated ARM board with lmkd under a demonstration load'
	@echo 'make test        everything that CI runs: lint, types, the documents, unit and property tests, the board'
	@echo 'make unit        unit and property tests, in random order'
	@echo 'make lint        ruff and mypy'
	@echo 'make board-test  the essential scenarios on the emulated board'
	@echo 'make board-long  what takes longer: lmkd started and restarted by the SysV script, OpenRC and s6'
	@echo 'make bench       compare with no manager and with the peers (about an hour), write docs/benchmark.md'
	@echo 'make docs        write what is generated in docs: configuration, protocol, metrics, events, pictures'
	@echo 'make site        the pages of docs as HTML in build/site; a wrong link, anchor or picture is an error'
	@echo 'make man         write the man pages into build/man'
	@echo 'make image       build the image of the emulated board (or take it from the cache)'
	@echo 'make wheel       build the wheel in dist/'
	@echo 'make clean       remove what was built; make distclean: the virtual environment too'

run: $(VENV_READY) $(BOARD_READY)
	$(PYTHON) -m tests.board demo

test: lint site unit board-test

lint: $(VENV_READY)
	$(PYTHON) -m ruff check lmkd tests
	$(PYTHON) -m mypy

# pytest fails when it collects nothing (exit 5), and make with it.
unit: $(VENV_READY)
	@mkdir -p $(REPORTS)
	$(PYTHON) -m pytest tests/unit $(RERUNS) --junit-xml=$(REPORTS)/unit.xml

board-test: $(VENV_READY) $(BOARD_READY) $(ARM64_READY)
	@mkdir -p $(REPORTS)
	$(PYTHON) -m pytest tests/board -m 'board and not long' $(RERUNS) --junit-xml=$(REPORTS)/board.xml

board-long: $(VENV_READY) $(BOARD_READY)
	$(PYTHON) -m pytest tests/board -m 'board and long' $(RERUNS)

bench: $(VENV_READY) $(BOARD_READY)
	$(PYTHON) -m tests.board bench $(BENCH_OPTIONS)
	$(PYTHON) -m tests.board timeline

image: $(VENV_READY) $(BOARD_READY)
	$(PYTHON) -m tests.board image

docs: $(VENV_READY)
	$(PYTHON) -m tests.unit.pages

# From nothing each time: what a page that is kept from an earlier run said is not said again.
site: $(VENV_READY)
	$(PYTHON) -m tests.unit.pages --check
	$(PYTHON) -m sphinx -q -W --keep-going -E -d build/doctrees docs build/site

man: $(VENV_READY)
	$(PYTHON) -m lmkd.cli.manual build/man

wheel: $(VENV_READY)
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*-py3-none-any.whl

$(VENV_READY): pyproject.toml tools/bootstrap
	tools/bootstrap venv $(VENV)
	@touch $@

$(BOARD_READY): Makefile tools/bootstrap
	tools/bootstrap packages $(BOARD_PACKAGES)
	@mkdir -p $(@D)
	@touch $@

$(ARM64_READY): Makefile tools/bootstrap
	tools/bootstrap packages $(ARM64_PACKAGES)
	@mkdir -p $(@D)
	@touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find lmkd tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
