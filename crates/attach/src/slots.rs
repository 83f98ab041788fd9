//! Which disk is at which place of a machine, and who holds it: pure book-keeping, so that no lock is
//! held while a machine or a guest is waited for.
//!
//! A disk that several mounts need is attached once. Everybody who needs it has a reservation of his
//! own, and the last one to give it up has to detach it:
//!
//! ```text
//!   state       trigger                          becomes
//!   (free)      reserve                          Reserved, one holder
//!   Reserved    reserve the same disk            Reserved, one holder more
//!   Reserved    attached                         Attached
//!   Reserved    release by the last holder       (free)
//!   Attached    reserve the same disk            Attached, one holder more
//!   Attached    release, others hold it          Attached, one holder less
//!   Attached    release by the last holder       Leaving; he is told to detach
//!   Leaving     release again                    Leaving; he is told to detach again
//!   Leaving     detached                         (free)
//! ```
//!
//! So a detachment that failed can be tried again, as often as wanted, and nobody can take the place
//! or the disk meanwhile. Giving up what was given up already is no error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A place for a disk: a controller and a logical unit on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The controller, from 0.
    pub controller: u8,
    /// The logical unit, from 0.
    pub lun: u8,
}

/// How many places a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLayout {
    /// Controllers.
    pub controllers: u8,
    /// Logical units on each.
    pub luns: u8,
}

impl SlotLayout {
    /// Four controllers of 64 units: what Hyper-V has.
    pub const HYPER_V: Self = Self {
        controllers: 4,
        luns: 64,
    };
    /// The first controller alone, which is what guests of Windows mount from.
    pub const FIRST_CONTROLLER: Self = Self {
        controllers: 1,
        luns: 64,
    };
}

/// Somebody's hold on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reservation(u64);

/// What follows for whoever gave a reservation up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Nothing: others hold the disk, or it never was attached, or this was given up before.
    Nothing,
    /// The disk has to be detached from this place, and [`Slots::detached`] be called.
    Detach(Slot),
}

/// Why there is no place for a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// All places are taken.
    #[error("all {count} places for disks are taken")]
    Exhausted {
        /// How many there are.
        count: usize,
    },
    /// The disk is there, but for reading only, or for writing and this is for reading.
    #[error("{disk} is attached already, but {}", if *.read_only { "read-only" } else { "for writing" })]
    OtherAccess {
        /// The disk.
        disk: String,
        /// How it is attached.
        read_only: bool,
    },
    /// The disk is being detached.
    #[error("{disk} is being detached")]
    Leaving {
        /// The disk.
        disk: String,
    },
    /// There is no disk at the place, or none in the state that this needs.
    #[error("there is no disk at {slot} that {reason}")]
    NoSuchDisk {
        /// The place.
        slot: Slot,
        /// What it would have to be.
        reason: &'static str,
    },
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.controller, self.lun)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskState {
    Reserved,
    Attached,
    Leaving,
}

#[derive(Clone, Debug)]
struct Disk {
    key: String,
    read_only: bool,
    state: DiskState,
    holders: BTreeSet<Reservation>,
}

/// The places of one machine.
#[derive(Clone, Debug)]
pub struct Slots {
    layout: SlotLayout,
    disks: BTreeMap<Slot, Disk>,
    next: u64,
}

impl Slots {
    /// All places of a machine, free.
    pub fn new(layout: SlotLayout) -> Self {
        Self {
            layout,
            disks: BTreeMap::new(),
            next: 0,
        }
    }

    /// A place for the disk `key`: where it is already, or the first that is free.
    ///
    /// # Errors
    /// `Exhausted`, `OtherAccess`, `Leaving`.
    pub fn reserve(
        &mut self,
        key: &str,
        read_only: bool,
    ) -> Result<(Reservation, Slot), SlotError> {
        let there = self.disks.iter_mut().find(|(_, disk)| disk.key == key);
        let reservation = Reservation(self.next);
        if let Some((slot, disk)) = there {
            if disk.state == DiskState::Leaving {
                return Err(SlotError::Leaving {
                    disk: key.to_owned(),
                });
            }
            if disk.read_only != read_only {
                return Err(SlotError::OtherAccess {
                    disk: key.to_owned(),
                    read_only: disk.read_only,
                });
            }
            self.next += 1;
            disk.holders.insert(reservation);
            return Ok((reservation, *slot));
        }
        let slot = self.first_free()?;
        self.next += 1;
        let disk = Disk {
            key: key.to_owned(),
            read_only,
            state: DiskState::Reserved,
            holders: BTreeSet::from([reservation]),
        };
        self.disks.insert(slot, disk);
        Ok((reservation, slot))
    }

    fn first_free(&self) -> Result<Slot, SlotError> {
        let layout = self.layout;
        let slots = (0..layout.controllers)
            .flat_map(|controller| (0..layout.luns).map(move |lun| Slot { controller, lun }));
        let mut free = slots.filter(|slot| !self.disks.contains_key(slot));
        free.next().ok_or(SlotError::Exhausted {
            count: usize::from(layout.controllers) * usize::from(layout.luns),
        })
    }

    /// Whether the disk at a place has yet to be attached by whoever reserved it.
    pub fn must_attach(&self, slot: Slot) -> bool {
        let disk = self.disks.get(&slot);
        disk.is_some_and(|disk| disk.state == DiskState::Reserved)
    }

    /// The machine has the disk at this place. May be called again.
    ///
    /// # Errors
    /// `NoSuchDisk`.
    pub fn attached(&mut self, slot: Slot) -> Result<(), SlotError> {
        let disk = self.disks.get_mut(&slot);
        match disk.filter(|disk| disk.state != DiskState::Leaving) {
            Some(disk) => {
                disk.state = DiskState::Attached;
                Ok(())
            }
            None => Err(SlotError::NoSuchDisk {
                slot,
                reason: "is reserved",
            }),
        }
    }

    /// Gives a reservation up. May be called again, as long as detaching has not succeeded too.
    pub fn release(&mut self, reservation: Reservation) -> Released {
        let held = self
            .disks
            .iter_mut()
            .find(|(_, disk)| disk.holders.contains(&reservation));
        let Some((&slot, disk)) = held else {
            return Released::Nothing;
        };
        if disk.holders.len() > 1 {
            disk.holders.remove(&reservation);
            return Released::Nothing;
        }
        if disk.state == DiskState::Reserved {
            self.disks.remove(&slot);
            return Released::Nothing;
        }
        // The last holder stays on the list until the disk is gone, so that he can try again.
        disk.state = DiskState::Leaving;
        Released::Detach(slot)
    }

    /// The machine no longer has the disk at this place.
    ///
    /// # Errors
    /// `NoSuchDisk` where nobody was told to detach it.
    pub fn detached(&mut self, slot: Slot) -> Result<(), SlotError> {
        let disk = self.disks.get(&slot);
        if disk.is_none_or(|disk| disk.state != DiskState::Leaving) {
            return Err(SlotError::NoSuchDisk {
                slot,
                reason: "is being detached",
            });
        }
        self.disks.remove(&slot);
        Ok(())
    }

    /// The disks that are there or on their way: place, disk, whether read-only, holders.
    pub fn disks(&self) -> impl Iterator<Item = (Slot, &str, bool, usize)> {
        self.disks
            .iter()
            .map(|(slot, disk)| (*slot, disk.key.as_str(), disk.read_only, disk.holders.len()))
    }
}
