//! The command line of Fortress.
fn main() {}
