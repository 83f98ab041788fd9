//! One concern a wrapper: each is a disk that stands on another disk.

mod window;

pub use window::Window;
