SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Models and test tools are kept here; a second run reuses them and needs no network.
export FRONTDESK_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/frontdesk
export PATH := $(FRONTDESK_CACHE)/tools/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help run test chaos audit models cuda fmt

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install, fetch the models, build, and start everything with the demo tenant (ARGS="--listen …")
	@deploy/install/build.sh
	@deploy/models/fetch.py
	cargo build --release -p frontdesk
	FRONTDESK_MODELS_DIR="$(FRONTDESK_CACHE)/models" exec $(TARGET)/release/frontdesk all --demo deploy/demo $(ARGS)

test: ## install what the tests need, check format, lints and dependencies, run every test
	@deploy/install/test.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny check bans licenses sources
	python3 -m unittest discover -s deploy/models
	python3 -m unittest discover -s worker-gpu/benches/gpu
	python3 deploy/demo/check.py
	cd gateway/web && node --test test/
	cargo test --workspace

chaos: ## kill, halt and cut off real servers for long (FRONTDESK_CHAOS_SECONDS=600, FRONTDESK_CHAOS_SEED=…)
	@deploy/install/test.sh
	FRONTDESK_CHAOS_SECONDS="$${FRONTDESK_CHAOS_SECONDS:-600}" FRONTDESK_CHAOS_SEED="$${FRONTDESK_CHAOS_SEED:-$$RANDOM}" \
		cargo test -p frontdesk --test chaos -- --nocapture what_was_promised_holds

audit: ## check dependencies for security advisories (needs network)
	@deploy/install/test.sh
	cargo deny check advisories

models: ## fetch the default models only
	@deploy/models/fetch.py

cuda: ## build for NVIDIA GPUs; installs the compiler, needs no GPU
	@deploy/install/cuda.sh

fmt: ## format the code
	cargo fmt --all
