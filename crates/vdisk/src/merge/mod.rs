//! Layers that take in others: in place, without changing what anybody reads.
//!
//! ```text
//!   pull      a child takes in what its next parents hold, and stands on the one below them
//!   flatten   the same with all parents, so that it stands alone
//!   rebase    a child takes in what its new parent does not show as the old one did
//!   down      a parent takes in what its child holds; the child is of no use any more
//! ```
//! The first three leave the bytes of the child's disk as they are, also for its own children: the
//! identity of its data stays. They go in two steps, each crash-safe by itself: first the child
//! takes in data, and goes on to stand on its old parent; then one logged change of its metadata
//! gives it the new one. So a crash costs work that a second call does not do again (what the child
//! holds already is passed over), and nothing else.
//!
//! `down` writes into the parent what the child holds and therefore covers. The parent's identity
//! changes with the first write; the child learns the new one before ([MS-VHDX] 2.6.2.6.3,
//! `parent_linkage2`), so that it fits its parent in every state between.

mod down;
mod pull;
mod rebase;
mod take;

use std::ops::ControlFlow;

use blockio::{ByteCount, Disk};

use crate::chain::Layer;
use crate::convert::Progress;
use crate::error::ImageError;

pub use down::merge_into_parent;
pub use pull::{PullLevels, pull};
pub use rebase::{RebaseCheck, rebase};

/// Called now and then; [`ControlFlow::Break`] stops the work, which can be taken up again.
pub type OnProgress<'a> = &'a dyn Fn(Progress) -> ControlFlow<()>;

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeSummary {
    /// Bytes that were copied; zeros are not among them.
    pub copied: ByteCount,
}

/// A differencing image that is open to take in what others hold.
pub(crate) trait Taker: Disk + Layer {
    /// Makes every block that has a place whole, as an image without a parent has it: where nobody
    /// holds a sector, it is zeros. What the parents hold was taken in before.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Damaged`.
    fn seal(&self) -> Result<(), ImageError>;

    /// Makes everything durable and ends the use of the image.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Poisoned`.
    fn close(self: Box<Self>) -> Result<(), ImageError>;
}
