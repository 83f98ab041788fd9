//! Which disk is at which place of a machine, as far as planning has to know: who holds a disk stands
//! in the [ledger](crate::ledger).
//!
//! A disk that several mounts need is at one place, for reading only or for writing. One that comes or
//! goes is nobody's to use: its place is taken, and whoever needs it has to wait.

use std::collections::BTreeMap;
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

    /// How many there are.
    pub fn count(self) -> usize {
        usize::from(self.controllers) * usize::from(self.luns)
    }

    fn places(self) -> impl Iterator<Item = Slot> {
        (0..self.controllers)
            .flat_map(move |controller| (0..self.luns).map(move |lun| Slot { controller, lun }))
    }

    fn has(self, slot: Slot) -> bool {
        slot.controller < self.controllers && slot.lun < self.luns
    }
}

/// Where a disk is or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The place.
    pub slot: Slot,
    /// What the guest knows the disk by: what it was attached with, whatever was asked for now.
    pub serial: String,
    /// Whether it has yet to be attached.
    pub is_new: bool,
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
    /// The disk is being attached or detached.
    #[error("{disk} is being attached or detached")]
    Moving {
        /// The disk.
        disk: String,
    },
    /// Another disk is known by the same serial.
    #[error("the serial {serial} is that of another disk, {disk}")]
    SerialTaken {
        /// The serial.
        serial: String,
        /// The other disk.
        disk: String,
    },
    /// The machine has no such place, or it is taken.
    #[error("the place {slot} is taken or none")]
    NoPlace {
        /// The place.
        slot: Slot,
    },
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.controller, self.lun)
    }
}

/// A disk at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedDisk {
    /// What its path has in common with other spellings of it.
    pub key: String,
    /// What the guest knows it by.
    pub serial: String,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Whether it is there, and neither comes nor goes.
    pub is_settled: bool,
}

/// The places of one machine.
#[derive(Clone, Debug)]
pub struct Slots {
    layout: SlotLayout,
    disks: BTreeMap<Slot, PlacedDisk>,
}

impl Slots {
    /// All places of a machine, free.
    pub fn new(layout: SlotLayout) -> Self {
        Self {
            layout,
            disks: BTreeMap::new(),
        }
    }

    /// Notes a disk that is at a place.
    ///
    /// # Errors
    /// `NoPlace`; `SerialTaken` where its serial or its path is at another place.
    pub fn occupy(&mut self, slot: Slot, disk: PlacedDisk) -> Result<(), SlotError> {
        if !self.layout.has(slot) || self.disks.contains_key(&slot) {
            return Err(SlotError::NoPlace { slot });
        }
        let mut others = self.disks.values();
        let twin = others.find(|other| other.serial == disk.serial || other.key == disk.key);
        if let Some(other) = twin {
            return Err(SlotError::SerialTaken {
                serial: disk.serial,
                disk: other.key.clone(),
            });
        }
        self.disks.insert(slot, disk);
        Ok(())
    }

    /// A place for the disk `key`: where it is already, or the first that is free, which it then has.
    ///
    /// # Errors
    /// `Exhausted`, `OtherAccess`, `Moving`, `SerialTaken`.
    pub fn place(&mut self, key: &str, serial: &str, read_only: bool) -> Result<Place, SlotError> {
        if let Some((slot, disk)) = self.disks.iter().find(|(_, disk)| disk.key == key) {
            let disk_name = || key.to_owned();
            if !disk.is_settled {
                return Err(SlotError::Moving { disk: disk_name() });
            }
            if disk.read_only != read_only {
                return Err(SlotError::OtherAccess {
                    disk: disk_name(),
                    read_only: disk.read_only,
                });
            }
            return Ok(Place {
                slot: *slot,
                serial: disk.serial.clone(),
                is_new: false,
            });
        }
        let mut free = self.layout.places();
        let slot = free.find(|slot| !self.disks.contains_key(slot));
        let slot = slot.ok_or(SlotError::Exhausted {
            count: self.layout.count(),
        })?;
        let disk = PlacedDisk {
            key: key.to_owned(),
            serial: serial.to_owned(),
            read_only,
            is_settled: true,
        };
        self.occupy(slot, disk)?;
        Ok(Place {
            slot,
            serial: serial.to_owned(),
            is_new: true,
        })
    }

    /// The disks that are there or on their way.
    pub fn disks(&self) -> impl Iterator<Item = (Slot, &PlacedDisk)> {
        self.disks.iter().map(|(slot, disk)| (*slot, disk))
    }
}
