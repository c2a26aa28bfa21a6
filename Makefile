# make demo    build a student from the embedded data: teacher, distillation, TFLite file, report, bundle
# make test    the tests (under 10 minutes on 2 cores)
# make check   everything that a change must pass: lint, format, types, import rules, tests
# make slow    real but slow checks;  make long  every network in every precision, and whole recoveries
# make browser a real browser's part of the slow checks: needs Chromium, and npm for the runtimes
# make android the Android application, compiled, its logic run: needs a JDK, and npm for kotlinc and onnxruntime's classes
# make cpp     the C++ application, compiled and run: needs cmake, a compiler, libpng, libjpeg, and npm for ONNX Runtime
# make board   the emulated board of the slow checks: needs root, mmdebstrap and qemu-user-static
# make bench   the committed benchmarks;  make teacher  train the shipped teacher again
# PIP_ARGS     passed to pip, e.g. make demo PIP_ARGS="-i https://..." for an index of your choice

SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
BIN := .venv/bin
PIP_ARGS ?=
BROWSER := tests/e2e/test_browser.py tests/e2e/test_app_web.py
COMPILED := tests/e2e/test_app_android.py tests/e2e/test_app_cpp.py
EDGEKD_ANDROID ?= $(HOME)/.cache/edgekd/android
export EDGEKD_ANDROID
TEACHER_DATA ?= /usr/share/datasets/fashion-mnist

.PHONY: demo test check lint types imports slow browser android cpp long board bench teacher clean

demo: .venv/installed
	$(BIN)/edgekd build --target tflite --max-latency 20ms

test: .venv/installed
	$(BIN)/python -m pytest -n auto

check: lint types imports test

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

imports: .venv/installed
	$(BIN)/lint-imports

slow: .venv/installed browser
	$(BIN)/python -m pytest -m slow -n auto $(BROWSER:%=--ignore=%) $(COMPILED:%=--ignore=%)

browser: .venv/installed
	-$(BIN)/edgekd doctor --at browser --provision
	$(BIN)/python -m pytest -m slow $(BROWSER)

cpp: .venv/installed
	-$(BIN)/python -m tests.cpp
	$(BIN)/python -m pytest -m slow tests/e2e/test_app_cpp.py

long: .venv/installed
	$(BIN)/python -m pytest -m long

android: .venv/installed
	mkdir -p $(EDGEKD_ANDROID)
	npm install --prefix $(EDGEKD_ANDROID) --no-audit --no-fund --ignore-scripts \
	  kotlin-compiler@2.4.20 com.github.asus4.onnxruntime@0.4.9
	$(BIN)/python -m pytest -m slow tests/e2e/test_app_android.py

board: .venv/installed
	$(BIN)/python -m tests.board

bench: .venv/installed
	$(BIN)/python -m benchmarks

teacher: .venv/installed
	$(BIN)/python models/teachers/fashion-mnist-resnet/retrain.py $(TEACHER_DATA)

clean:
	rm -rf .venv

.venv/installed: constraints.txt pyproject.toml hatch_build.py
	@test -n "$(PYTHON)" || { echo "edgekd needs Python 3.11, 3.12 or 3.13, and none was found: install one, or say make PYTHON=/path/to/python3.11." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip $(PIP_ARGS)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' $(PIP_ARGS)
	@touch $@
