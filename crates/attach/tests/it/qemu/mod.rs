//! Machines of QEMU: the conversation with a monitor that lies, floods, stammers and dies, and what is
//! made of it. A real QEMU is among the end-to-end tests.

pub(crate) mod fake;
mod machine;
mod monitor;
