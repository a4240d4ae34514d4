# make run: everything that the page needs, then the page.   make test: everything that the tests need, then the tests.
# make bench: how fast it is here, up to 25 minutes; make bench BENCH=--quick takes three.
# make gpu-check: on a machine with an NVIDIA GPU, everything that only a GPU can show: its tests, then a table of its times.

PYTHON ?= python3
# Without an NVIDIA GPU, PyTorch comes from here: PyPI's wheels for Linux bring several GB of CUDA along.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
export PIP_ROOT_USER_ACTION := ignore

.PHONY: run test bench gpu-check check programs test-programs

run: $(VENV)/ready programs
	$(BIN)/python app.py

test: $(VENV)/ready-for-tests programs test-programs check
	@# One process for each core. All tests of a file run in the same process, and share its models and its page.
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

bench: $(VENV)/ready-for-tests programs
	$(BIN)/python -m benchmarks $(BENCH)

gpu-check: $(VENV)/ready-for-tests programs
	$(BIN)/python -m pytest -m gpu -r s; failed=$$?; \
	$(BIN)/python -m benchmarks --device cuda --quick --columns baseline default \
		--rows step-full step clip preview-full clip-full memory-lean && exit $$failed

check: $(VENV)/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python cannot make virtual environments; install python3-venv (sudo apt install python3-venv)."; exit 1; }

# The stamps depend on the lists, so a changed list is installed.
$(VENV)/ready: requirements.txt constraints.txt | $(BIN)/python
	@if [ "$$(uname -s)" = Linux ] && ! nvidia-smi > /dev/null 2>&1; then \
		echo "No NVIDIA GPU: installing PyTorch for the processor."; \
		if $(BIN)/python -c "import urllib.request; urllib.request.urlopen('$(TORCH_INDEX)/torch/', timeout=3)" 2> /dev/null; \
		then index="--extra-index-url $(TORCH_INDEX)"; else index=; fi; \
		$(PIP) $$index torch; \
	fi
	$(PIP) --requirement requirements.txt
	@touch $@

$(VENV)/ready-for-tests: $(VENV)/ready requirements-dev.txt requirements-ray.txt
	$(PIP) --requirement requirements-dev.txt
	@touch $@

programs:
	@$(call install,ffmpeg ffprobe,ffmpeg)
	@command -v ffmpeg > /dev/null && command -v ffprobe > /dev/null \
		|| echo "ffmpeg and ffprobe are not on PATH, so clips will not play while they are made." \
		"To have that, install ffmpeg: sudo apt install ffmpeg, or brew install ffmpeg."

test-programs:
	@$(call install,chromium,chromium)
	@command -v chromium > /dev/null || echo "chromium is not on PATH, which the browser tests need."
	@$(call install,/usr/lib/*/libEGL.so.1,libegl1 libgl1-mesa-dri)

# Programs wanted, Debian package: installs the package if a program is absent and this is root on Debian or the like.
define install
if ! command -v $(1) > /dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) > /dev/null || true; \
fi
endef
