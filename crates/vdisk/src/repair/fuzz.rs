//! What a fuzzer does with the bytes of a damaged image.

use std::ops::ControlFlow;

use blockio::{MemoryDisk, MemoryStorage, SectorSize};

use super::{RepairBackup, RepairOptions, RepairState, plan_repair};
use crate::gate::DenyAll;
use crate::image::ImageFormat;
use crate::salvage::{Salvage, SalvageOptions};

/// Largest disk that is copied: those of the inputs that a corpus holds.
const MAX_COPIED: u64 = 16 * blockio::MIB;

/// Plans, does and undoes the repair of an image of these bytes, and salvages it; nothing of it may
/// panic, hang or take memory without bound, and undoing gives the same bytes.
pub fn fuzz_repair(bytes: &[u8]) {
    let _ = RepairBackup::decode(bytes);
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let image = MemoryStorage::from_bytes(bytes.to_vec());
        let options = RepairOptions { accept_loss: true };
        if let Ok(plan) = plan_repair(&image, Some(format), options)
            && let Some(backup) = plan.backup
        {
            let applied = backup.apply(&image);
            assert!(applied.is_ok(), "a plan fits the image it was made for");
            assert!(matches!(backup.state(&image), Ok(RepairState::Done)));
            assert!(backup.undo(&image).is_ok());
            assert!(image.to_bytes() == bytes, "undone is as before");
        }
        let opened = Salvage::open(
            Box::new(image),
            Some(format),
            SalvageOptions::default(),
            &DenyAll,
        );
        let Ok(salvage) = opened else {
            continue;
        };
        let size = salvage.disk().size();
        if size.get() <= MAX_COPIED
            && let Some(target) = MemoryDisk::new(size, SectorSize::B512)
        {
            let _ = salvage.copy_to(&target, &|_| ControlFlow::Continue(()));
        }
    }
}
