# The project's front door. Build output is cached outside the checkout.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/maru/target

.PHONY: cluster cluster-down

# A real Kubernetes on this machine, unless it runs already. The last line is the path of its kubeconfig.
cluster:
	@cargo run --quiet --package maru-test-cluster --bin maru-cluster -- up

cluster-down:
	@cargo run --quiet --package maru-test-cluster --bin maru-cluster -- down
