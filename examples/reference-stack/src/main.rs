//! The reference stack.
fn main() {}
