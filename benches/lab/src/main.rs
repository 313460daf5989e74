//! `evenkeel-bench`: measures evenkeel and other load balancers side by side.

use std::process::ExitCode;

fn main() -> ExitCode {
    evenkeel_bench::main(std::env::args().skip(1).collect())
}
