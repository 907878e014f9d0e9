//go:build tools

// Package helm pins the Helm that the charts are installed with in the tests.
package helm

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
