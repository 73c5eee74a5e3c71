# `make` lists what there is. Everything runs inside .venv, which is built from the lock files.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPENCLAW := $(BIN)/python -m openclaw_site.cli
STAMP := $(VENV)/.installed
LOCKS := requirements.lock requirements-train.lock requirements-dev.lock
AREAS := governance inference skills marketplace openclaw_site
SOURCES := $(AREAS) openclaw_client tests scripts $(wildcard benchmarks)

.DEFAULT_GOAL := help
.PHONY: help run start stop status demo test check format bench-serving bench-serving-more bench-serving-peers bench-batch bench-access bench-rollouts messages schema controls permissions query-counts lock clean

help: ## list the targets
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(STAMP) ## start the whole site here; Ctrl-C stops it
	@exec $(OPENCLAW) run

start: $(STAMP) ## start the whole site in the background
	@exec $(OPENCLAW) start

stop: $(STAMP) ## stop the site of this checkout
	@exec $(OPENCLAW) stop

status: $(STAMP) ## say how each part of the site is
	@exec $(OPENCLAW) status

demo: $(STAMP) ## play the main job once with real clients; exit 0 only if all of it held
	@exec $(OPENCLAW) demo

test: $(STAMP) messages ## run every test (starts its own PostgreSQL and Valkey)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMP) messages ## format, lint, types, layers, migrations, API snapshot: what a commit needs
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python scripts/missing_migrations.py
	$(BIN)/python scripts/api_snapshot.py --check
	$(BIN)/python scripts/security_page.py --check

format: $(STAMP) ## lay the code out and mend what can be mended by itself
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

schema: $(STAMP) ## write the OpenAPI snapshot anew after a wanted change
	$(BIN)/python scripts/api_snapshot.py --write

controls: $(STAMP) ## write docs/security.md anew from docs/controls/
	$(BIN)/python scripts/security_page.py --write

permissions: $(STAMP) ## write the endpoint × role table anew after a wanted change; review the difference
	$(BIN)/python -m pytest -q tests/site/meta/test_endpoint_permissions.py --write-permissions

query-counts: $(STAMP) ## write the query counts of every page anew after a wanted change; review the difference
	$(BIN)/python -m pytest -q tests/site/meta/test_query_counts.py --write-query-counts

bench-serving: $(STAMP) ## requests per second and latency of /v2, against a bare ASGI server (needs wrk)
	@$(BIN)/python -m benchmarks.serving

bench-serving-more: $(STAMP) ## open loop and overload, what each check adds, 1,000 hot swaps, what isolation costs
	@for part in open checks swaps isolation; do $(BIN)/python -m benchmarks.serving_$$part || exit 1; done

bench-serving-peers: $(STAMP) ## our server beside MLServer, KServe and BentoML, which it installs for itself
	@$(BIN)/python -m benchmarks.serving_peers

bench-batch: $(STAMP) ## rows per second and core of batch jobs, beside ONNX Runtime alone; one worker and two
	@$(BIN)/python -m benchmarks.batch

bench-access: $(STAMP) ## what decisions, revocation, audit, envelopes and row security cost
	@$(BIN)/python -m benchmarks.access

bench-rollouts: $(STAMP) ## false promotions, rollbacks and winners, time to find a fault, bandits against mabwiser's
	@$(BIN)/python -m benchmarks.rollouts

screenshots: $(STAMP) ## take the documents' pictures anew (against the running site, after the demo)
	@$(BIN)/python -m scripts.screenshots

messages: $(STAMP) ## compile the translations
	@$(OPENCLAW) messages

lock: ## resolve the dependencies anew and write the lock files
	rm -rf build/lock-venv && $(PYTHON) -m venv build/lock-venv
	grep -hv '^-c' requirements.in requirements-train.in requirements-dev.in > build/all.in
	build/lock-venv/bin/python -m pip install --quiet packaging -r build/all.in
	build/lock-venv/bin/python scripts/lock.py

clean: ## remove what was built (not var/, which holds the site's data)
	rm -rf $(VENV) build dist artifacts *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(AREAS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): $(STAMP)

$(STAMP): $(LOCKS) pyproject.toml
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh scripts/setup.sh $(LOCKS)
	@touch $@
