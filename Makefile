# The few commands a person types. Each installs what it needs; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# What a deployment runs, and the demo around it.
PROGRAMS := --bin clickhouse-embedded --bin collector --bin tracker-ui --bin alert-rules --bin simulator --bin demo

ENGINE := crates/clickhouse-embedded/engine
ENGINE_STAMP := $(ENGINE)/node_modules/.package-lock.json
VENV_STAMP := .venv/.installed
REQUIREMENTS := $(shell git ls-files '*requirements.txt' 2>/dev/null)
NPM_LOCKS := $(shell git ls-files '*package-lock.json' 2>/dev/null)
NPM_STAMPS := $(patsubst %package-lock.json,%node_modules/.package-lock.json,$(NPM_LOCKS))

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: engine tools-run ## Install, build and run the whole product with simulated traffic (Ctrl-C stops)
	cargo build --release --locked $(PROGRAMS)
	exec target/release/demo $(DEMO_ARGS)

.PHONY: up
up: engine tools-run ## The same without simulated traffic: send your own OTLP
	cargo build --release --locked $(PROGRAMS)
	exec target/release/demo --no-traffic --keep $(DEMO_ARGS)

.PHONY: test
test: engine tools-run tools-test clients ## Install what is needed and run every test against the real servers
	cargo build --locked --workspace --bins
	cargo nextest run --locked --workspace --no-fail-fast

.PHONY: bench
bench: engine ## Measure ingest, look-up, board and rules; figures for docs/benchmarks.md
	cargo build --release --locked --bin clickhouse-embedded --bin collector --bin tracker-ui --bin alert-rules --bin bench
	target/release/bench $(BENCH_ARGS)

.PHONY: bench-collector
bench-collector: engine ## The collector beside the peer Rotel (WAYBILL_BENCH_ROTEL names its program), and overloaded
	cargo build --release --locked --bin clickhouse-embedded --bin collector --bin bench
	target/release/bench beside
	target/release/bench stored
	target/release/bench acknowledged
	target/release/bench overload

.PHONY: bench-scale
bench-scale: engine ## Fill a store with up to 100 M spans and measure it; SCALE_SPANS sets the size
	cargo build --release --locked --bin clickhouse-embedded --bin collector --bin tracker-ui --bin alert-rules --bin bench-scale
	target/release/bench-scale $(BENCH_SCALE_ARGS)

.PHONY: crash
crash: engine ## Kill collector and engine 500 times, lose power, fill disks, look for all that was acknowledged; CRASH_KILLS sets how often
	cargo build --release --locked --bin clickhouse-embedded --bin collector --bin crash
	target/release/crash $(CRASH_ARGS)

.PHONY: lint
lint: ## Formatting and lints, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

# ── What the commands need ────────────────────────────────────────────────────────────────────
.PHONY: engine
engine: $(ENGINE_STAMP)

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund
	touch $@

.PHONY: clients
clients: $(NPM_STAMPS) $(VENV_STAMP)

$(VENV_STAMP): $(REQUIREMENTS)
	scripts/python-environment .venv $(REQUIREMENTS)
	touch $@

.PHONY: tools-run tools-test
tools-run:
	scripts/install prometheus-alertmanager
tools-test:
	scripts/install prometheus-alertmanager prometheus chromium cargo-nextest
