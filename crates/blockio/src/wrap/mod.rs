//! One concern a wrapper: each is a disk that stands on another disk.

mod counted;
mod read_only;
mod throttled;
mod window;

pub use counted::{Counted, DiskCounts, IoCount};
pub use read_only::ReadOnly;
pub use throttled::{Limits, Throttled};
pub use window::Window;
