//go:build tools

// Package kwok pins the kwok commands that the test cluster is made of.
package kwok

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
