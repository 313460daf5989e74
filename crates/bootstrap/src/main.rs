//! The `evenkeel-bootstrap` program.

fn main() {}
