//! Snapshots and clones of volumes, other sizes for them, and space given back.

use std::ffi::{c_char, c_int};
use std::ptr;

use engine::{
    ByteCount, CloneVolume, CompactImage, ImageReference, LayerDetails, NewSize, ResizeImage,
};

use crate::failure::{Failure, Result};
use crate::memory::{self, Texts};
use crate::out::Out;
use crate::types::{containerv_volume_manager, containerv_volume_snapshot};
use crate::{border, handles, log, text};

/// Keeps the state of a volume that nobody writes under the name `snapshot`; a moment, whatever the
/// size. In all functions of this chapter `manager` may be NULL for the store of the process.
///
/// Fails with EINVAL (a name), ENOENT, EEXIST, EBUSY, ENOTSUP (a raw image), EBADMSG, ENOSPC, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_snapshot_create(
    manager: *mut containerv_volume_manager,
    volume: *const c_char,
    snapshot: *const c_char,
) -> c_int {
    border::call("containerv_volume_snapshot_create", || {
        // SAFETY: NULL or texts, as the header says.
        let name = unsafe { snapshot_name(volume, snapshot) }?;
        handles::manager(manager)?.with(|engine| engine.take_snapshot(&name, None))?;
        tracing::info!(snapshot = name, "took a snapshot");
        Ok(())
    })
}

/// The snapshots of a volume, the oldest first. `*snapshots` is to be given back by
/// `containerv_volume_snapshot_list_free`; it is NULL where there is none.
///
/// Fails with EINVAL (the name), ENOENT, EBADMSG, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_snapshot_list(
    manager: *mut containerv_volume_manager,
    volume: *const c_char,
    snapshots: *mut *mut containerv_volume_snapshot,
    count: *mut c_int,
) -> c_int {
    border::call("containerv_volume_snapshot_list", || {
        // SAFETY: NULL or room, as the header says.
        let (list, number) = unsafe {
            (
                Out::new(snapshots, "snapshots", ptr::null_mut())?,
                Out::new(count, "count", 0)?,
            )
        };
        // SAFETY: NULL or a text, as the header says.
        let volume = unsafe { text::required(volume, "volume") }?;
        let (_, layers) = handles::manager(manager)?.with(|engine| engine.list_layers(&volume))?;
        let mut texts = Texts::default();
        let items: Vec<_> = layers
            .iter()
            .filter_map(|layer| snapshot_of(layer, &mut texts))
            .collect();
        let found = c_int::try_from(items.len())
            .map_err(|_| Failure::argument("more snapshots than an int counts"))?;
        list.put(memory::give_snapshots(items, texts));
        number.put(found);
        Ok(())
    })
}

/// Gives a list of snapshots back, with all texts in it. NULL, and a list that was given back before,
/// are left alone. The last error stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_snapshot_list_free(
    snapshots: *mut containerv_volume_snapshot,
) {
    border::quiet((), || memory::take_snapshots(snapshots));
}

/// Makes a volume what it was when the snapshot was taken. What was written since is lost; the snapshot
/// stays.
///
/// Fails as `containerv_volume_snapshot_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_snapshot_restore(
    manager: *mut containerv_volume_manager,
    volume: *const c_char,
    snapshot: *const c_char,
) -> c_int {
    border::call("containerv_volume_snapshot_restore", || {
        // SAFETY: NULL or texts, as the header says.
        let name = unsafe { snapshot_name(volume, snapshot) }?;
        handles::manager(manager)?.with(|engine| engine.restore_snapshot(&name))?;
        tracing::info!(snapshot = name, "restored a snapshot");
        Ok(())
    })
}

/// Removes a snapshot; the volume and its other snapshots hold what they held. Its layer is merged with
/// one beside it, which may take a while; stopped by the progress callback, it may be called again.
///
/// Fails as `containerv_volume_snapshot_create`; EBUSY also where clones stand on it; ECANCELED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_snapshot_delete(
    manager: *mut containerv_volume_manager,
    volume: *const c_char,
    snapshot: *const c_char,
) -> c_int {
    border::call("containerv_volume_snapshot_delete", || {
        // SAFETY: NULL or texts, as the header says.
        let name = unsafe { snapshot_name(volume, snapshot) }?;
        let manager = handles::manager(manager)?;
        manager.with(|engine| engine.remove_snapshot(&name, &log::progress))?;
        tracing::info!(snapshot = name, "removed a snapshot");
        Ok(())
    })
}

/// Makes the volume `name`, which holds what `base` does and shares its space. `base` is VOLUME, of which
/// a snapshot is taken, or VOLUME@SNAPSHOT. `options` may be NULL, or have "size" (not less than that of
/// the base) and "persistent".
///
/// Fails as `containerv_volume_snapshot_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_clone(
    manager: *mut containerv_volume_manager,
    base: *const c_char,
    name: *const c_char,
    options: *const c_char,
) -> c_int {
    border::call("containerv_volume_clone", || {
        // SAFETY: NULL or texts, as the header says.
        let (base, name, options) = unsafe {
            (
                text::required(base, "base")?,
                text::required(name, "name")?,
                text::optional(options, "options")?,
            )
        };
        let request = CloneVolume {
            name,
            base,
            options: options.into_iter().collect(),
            ..CloneVolume::default()
        };
        handles::manager(manager)?.with(|engine| engine.clone_volume(&request))?;
        tracing::info!(volume = request.name, base = request.base, "made a clone");
        Ok(())
    })
}

/// Gives a volume that nobody uses the size `size_mb`, with its partition and its file system: all of
/// it, or nothing.
///
/// Fails with EINVAL (a size that what is there does not fit in), ENOENT, EBUSY, EBADMSG (also where it
/// was not unmounted cleanly), ENOTSUP, ENOSPC, ECANCELED, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_resize(
    manager: *mut containerv_volume_manager,
    name: *const c_char,
    size_mb: u64,
) -> c_int {
    border::call("containerv_volume_resize", || {
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        let bytes = size_mb.checked_mul(1 << 20).filter(|bytes| *bytes != 0);
        let bytes = bytes.ok_or_else(|| Failure::argument(format!("{size_mb} MiB is no size")))?;
        let request = ResizeImage {
            image: ImageReference::Volume(name),
            size: NewSize::Exactly(ByteCount(bytes)),
            image_only: false,
            dry_run: false,
        };
        handles::manager(manager)?.with(|engine| engine.resize(&request, &log::progress))?;
        tracing::info!(volume = %request.image, size_mb, "resized a volume");
        Ok(())
    })
}

/// Gives what no file system in a volume uses back to the host. `freed_bytes` may be NULL, or is told how
/// much that was.
///
/// Fails with EINVAL (the name), ENOENT, EBUSY, EBADMSG, ENOTSUP (a fixed image, a base of others),
/// ENOSPC, ECANCELED, EIO. What is used reads as before also after an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_compact(
    manager: *mut containerv_volume_manager,
    name: *const c_char,
    freed_bytes: *mut u64,
) -> c_int {
    border::call("containerv_volume_compact", || {
        let freed = if freed_bytes.is_null() {
            None
        } else {
            // SAFETY: room, as the header says.
            Some(unsafe { Out::new(freed_bytes, "freed_bytes", 0) }?)
        };
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        let request = CompactImage {
            image: ImageReference::Volume(name),
            dry_run: false,
            scan_zeros: false,
            keep_clusters: false,
        };
        let manager = handles::manager(manager)?;
        let compacted = manager.with(|engine| engine.compact(&request, &log::progress))?;
        let (before, after) = compacted.stored;
        let won = before.get().saturating_sub(after.get());
        if let Some(freed) = freed {
            freed.put(won);
        }
        tracing::info!(volume = %request.image, freed_bytes = won, "compacted a volume");
        Ok(())
    })
}

/// `VOLUME@SNAPSHOT`, which the engine reads.
///
/// # Safety
/// Both are NULL or texts, as for [`text::required`].
unsafe fn snapshot_name(volume: *const c_char, snapshot: *const c_char) -> Result<String> {
    // SAFETY: promised by the caller.
    let (volume, snapshot) = unsafe {
        (
            text::required(volume, "volume")?,
            text::required(snapshot, "snapshot")?,
        )
    };
    if volume.contains('@') {
        return Err(Failure::argument(format!(
            "{volume:?} is no name of a volume"
        )));
    }
    Ok(format!("{volume}@{snapshot}"))
}

fn snapshot_of(layer: &LayerDetails, texts: &mut Texts) -> Option<containerv_volume_snapshot> {
    let snapshot = layer.snapshot.as_ref()?;
    Some(containerv_volume_snapshot {
        name: texts.add(snapshot.name.as_str()),
        created_unix_ms: snapshot.created_unix_ms,
        used_bytes: layer.allocated_bytes.unwrap_or(0),
    })
}
