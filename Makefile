BIN := .venv/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PYTEST = $(BIN)/python -m pytest
rings = $(wildcard $(addprefix tests/,$(1)))
COMPILE = .venv/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --no-annotate --no-header $(UPGRADE) setup.cfg requirements/build.in
TORCH = $(BIN)/python -m pip install -q --no-deps torch==2.13.0+cpu

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 17

$(BIN)/python:
	$(if $(PYTHON),,$(error Python 3.11 or newer is needed: apt-get install python3, or make PYTHON=/path/to/python3))
	$(if $(shell $(PYTHON) -c 'import ensurepip' 2>&1),$(error Python has no venv module: apt-get install python3-venv))
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
# A stamp for each lock. dev holds everything that run needs, browser and load hold all of dev, neural all of load.
.venv/%.stamp: requirements/%.txt setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r $<
	$(if $(filter neural,$*),$(TORCH) 2>/dev/null || $(TORCH) --index-url https://download.pytorch.org/whl/cpu)
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch .venv/run.stamp $(if $(filter-out run,$*),.venv/dev.stamp) $(if $(filter neural,$*),.venv/load.stamp) $@
run: .venv/run.stamp ## start the appliance on port 8000 (Ctrl-C stops it)
	@exec $(BIN)/python -m processes.launcher
voice-demo: .venv/neural.stamp ## a neural voice from a checkpoint to its first sound (installs torch; some five minutes)
	$(BIN)/python -m loadtests.voice_demo
test: .venv/dev.stamp ## all rings that need neither root nor a browser nor a container
	$(PYTEST) -n 3 --dist loadfile -m "not slow" $(call rings,unit docs wire integration faults)
	@echo "not run here: slow tests (pytest -m slow tests/faults tests/integration), browser (make browser), acceptance (make accept), neural voices (make neural)$$(command -v curl >/dev/null || echo ', blocks of the pages that call curl')"
check: .venv/dev.stamp ## format, lint, types, import contracts, spelling, unit and docs rings (under 60 s)
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/codespell && $(PYTEST) -q -p no:schemathesis -n 2 --dist loadfile $(call rings,unit docs)
faults: .venv/dev.stamp ## break things on purpose, as often as it takes, and see that they mend
	rm -f build/fault-figures.jsonl; FAULTS_FULL=1 $(PYTEST) -s tests/faults tests/wire/test_fuzz.py
accept: .venv/dev.stamp ## players, Prometheus, proxies, the container (needs ffmpeg, prometheus, prometheus-alertmanager, caddy, nginx, and root or Docker)
	$(PYTEST) -n 2 --dist loadfile $(or $(ONLY),tests/acceptance --ignore-glob='*_container*' --ignore-glob='*_image*' --ignore-glob='*_deploy*' && $(PYTEST) -n 2 --dist loadfile $(if $(SHORT),-m "not slow") $(wildcard tests/acceptance/test_container*.py tests/acceptance/test_image.py tests/acceptance/test_deploy.py))
browser: .venv/browser.stamp ## the page at / in a headless Chromium
	$(PYTEST) tests/browser
neural: .venv/neural.stamp ## voices made with Coqui and spoken without it (installs torch)
	$(PYTEST) -n 2 --dist loadfile tests/neural tests/unit/engines
bench: .venv/$(if $(filter neural%,$(or $(SECTIONS),neural)),neural,dev).stamp ## measure the figures of docs/benchmarks.md (SECTIONS="cpu memory"; neural and neural-memory install torch)
	$(BIN)/python -m loadtests.bench $(SECTIONS) $(SHORT:%=--short)
load: .venv/$(if $(filter neural%,$(PROFILE)),neural,load).stamp ## ask much of it at once and judge it (HOST=http://…, PROFILE=espeak, SHORT=1)
	$(BIN)/python -m loadtests.load $(HOST:%=--host %) $(PROFILE:%=--profile %) $(SHORT:%=--short)
soak: .venv/dev.stamp ## load with a fault every 15 s and an account of every request (SOAK=--short takes 105 s, SOAK=--restarts restarts the gateway)
	$(BIN)/python -m loadtests.ledger $(or $(SOAK),--minutes 15 --rate 60 --every 15)
durability: .venv/dev.stamp ## kill the gateway, cut the power and kill backups amid jobs, and see that none is lost (SHORT=1)
	$(BIN)/python -m loadtests.durability $(SHORT:%=--short)
image: ## build the image of the container (TARGET=slim or importer; needs Docker)
	DOCKER_BUILDKIT=1 docker build --target $(or $(TARGET),default) --build-arg REVISION="$$(git rev-parse HEAD)" -t tts-appliance:$(or $(TARGET),default) .
docs: .venv/dev.stamp ## write the generated pages anew
	$(BIN)/python -m tests.docs.generate
lock: $(BIN)/python ## resolve setup.cfg anew into requirements/*.txt (UPGRADE=-U takes newer releases)
	test -x .venv/lock/bin/uv || { $(BIN)/python -m venv .venv/lock && .venv/lock/bin/pip install -q uv; }
	$(COMPILE) -o requirements/run.txt && $(COMPILE) -c requirements/run.txt --extra dev --extra tracing -o requirements/dev.txt
	for e in browser load; do $(COMPILE) -c requirements/dev.txt --extra dev --extra tracing --extra $$e -o requirements/$$e.txt || exit 1; done
	$(COMPILE) requirements/torch.in -c requirements/load.txt $(patsubst %,--extra %,dev tracing load neural coqui) -o requirements/neural.txt
	$(COMPILE) -c requirements/neural.txt --extra neural --extra tracing -o requirements/image.txt && $(COMPILE) -c requirements/neural.txt requirements/torch.in --extra neural --extra tracing --extra coqui -o requirements/importer.txt
clean: ## remove what was built; data and run stay
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov
.PHONY: help run voice-demo test check faults accept browser neural bench load soak durability image docs lock clean
