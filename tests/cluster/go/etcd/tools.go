//go:build tools

// Package etcd pins the etcd commands that the test cluster is made of.
package etcd

import (
	_ "go.etcd.io/etcd/server/v3"
)
