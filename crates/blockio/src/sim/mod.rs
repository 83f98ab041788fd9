//! The crash and fault simulator: a storage that remembers every change in order, and from that
//! builds each state in which a power cut could have left the file.
//!
//! ```text
//!   SimStorage --history()--> History --crash_states(plan)--> CrashState, CrashState, ...
//!     ^   ^                      |                                |
//!     |   inject(Fault)          replay(recipe) <---"@12 3 5:odd"-+
//!     +------------------------- a second session ----------------+
//! ```
//!
//! The model, which is what [`crate::Storage`] promises and no more: at any point of the history
//! the power may go. Everything before the last sync that succeeded is on disk. Each later change
//! (write, zeroing, change of length) is on disk or lost, independently of all others; a write or
//! zeroing may be on disk for any subset of its sectors of 512 bytes; overlapping ones may arrive
//! in either order. A write that is on disk beyond the end makes the file longer. What was pending
//! when a sync failed stays uncertain for ever, also if a later sync succeeds, as it does on real
//! hosts.

mod change;
mod fault;
mod history;
mod plan;
mod random;
mod recipe;
mod storage;

pub use fault::{Fault, FaultTarget, SimCounts};
pub use history::{CrashState, History};
pub use plan::{CrashPlan, CrashStates};
pub use recipe::{CrashRecipe, HistoryPosition, KeptChange, RecipeError, Tear};
pub use storage::SimStorage;

#[cfg(test)]
mod tests;
