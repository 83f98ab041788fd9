//! The cvol command.
fn main() {}
