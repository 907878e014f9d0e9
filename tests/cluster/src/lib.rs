//! A real Kubernetes on this machine, for the tests and the demo.
