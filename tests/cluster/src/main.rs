//! `maru-cluster`: a real Kubernetes on this machine, from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    maru_test_cluster::main()
}
