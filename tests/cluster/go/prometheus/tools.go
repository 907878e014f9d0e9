//go:build tools

// Package prometheus pins the Prometheus and the promtool that metering and the alert rules are tried with.
package prometheus

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
