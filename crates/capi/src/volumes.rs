//! Volumes of a store: made, removed, listed, looked at.

use std::ffi::{c_char, c_int};
use std::{path, ptr};

use engine::{CreateVolume, ImageUse, VolumeDetails, VolumeKind, VolumeRecord};

use crate::failure::{Failure, Result};
use crate::manager::Manager;
use crate::memory::{self, Texts};
use crate::out::Out;
use crate::types::{containerv_volume_info, containerv_volume_manager, windows_volume_type};
use crate::{border, handles, log, text};

/// Bytes of the unit in which containerv gives sizes.
const MIB: u64 = 1 << 20;

/// Makes a volume of `size_mb` units of 1,048,576 bytes (0: 20 GiB) with NTFS, in a VHDX that takes what
/// is written into it. All of it is made, or nothing.
///
/// This is the function of containerv's note. That of its header has a third argument, and is
/// `containerv_volume_create_fs` here; after containerv.h this declaration is left out.
///
/// Fails with EINVAL (the name or size), EEXIST, ENOSPC, EIO.
#[cfg(not(containerv_h))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_create(name: *const c_char, size_mb: u64) -> c_int {
    border::call("containerv_volume_create", || {
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        let options = options_of(size_mb, None)?;
        create(&*Manager::of_process()?, name, &options)
    })
}

/// The same with a file system: "NTFS" or "FAT32" in any case, "none", or NULL for NTFS. This is the
/// `containerv_volume_create` of containerv's own header.
///
/// Fails also with ENOTSUP (a file system that is not made here).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_create_fs(
    name: *const c_char,
    size_mb: u64,
    filesystem: *const c_char,
) -> c_int {
    border::call("containerv_volume_create_fs", || {
        // SAFETY: NULL or texts, as the header says.
        let (name, filesystem) = unsafe {
            (
                text::required(name, "name")?,
                text::optional(filesystem, "filesystem")?,
            )
        };
        let options = options_of(size_mb, filesystem.as_deref())?;
        create(&*Manager::of_process()?, name, &options)
    })
}

/// Makes a volume in the store of `manager` by an option string as the command has it, such as
/// "size=1G,fs=ntfs,persistent=true"; NULL or "" for all defaults.
///
/// Fails as `containerv_volume_create_fs`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_create_in(
    manager: *mut containerv_volume_manager,
    name: *const c_char,
    options: *const c_char,
) -> c_int {
    border::call("containerv_volume_create_in", || {
        // SAFETY: NULL or texts, as the header says.
        let (name, options) = unsafe {
            (
                text::required(name, "name")?,
                text::optional(options, "options")?,
            )
        };
        let manager = handles::manager(manager)?;
        create(&manager, name, &options.unwrap_or_default())
    })
}

/// Removes a volume and what it holds. One that is used, or that others stand on, is not removed.
///
/// Fails with EINVAL (the name), ENOENT, EBUSY, EBADMSG, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_delete(name: *const c_char) -> c_int {
    border::call("containerv_volume_delete", || {
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        delete(&*Manager::of_process()?, &name, false)
    })
}

/// The same in the store of `manager`; with `force` other than 0 also a volume that is damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_delete_in(
    manager: *mut containerv_volume_manager,
    name: *const c_char,
    force: c_int,
) -> c_int {
    border::call("containerv_volume_delete_in", || {
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        delete(&*handles::manager(manager)?, &name, force != 0)
    })
}

/// All volumes, by name. `*volumes` is to be given back by `containerv_volume_list_free`, which takes the
/// whole list; it is NULL where there is none.
///
/// Fails with EBUSY, EBADMSG, EIO (the store cannot be opened).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_list(
    volumes: *mut *mut containerv_volume_info,
    count: *mut c_int,
) -> c_int {
    border::call("containerv_volume_list", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { ListOut::new(volumes, count) }?;
        list(&*Manager::of_process()?, &[], out)
    })
}

/// The same of the store of `manager`, of those volumes alone that meet `condition`: "name=web",
/// "label=app=db", ... as the command has them; NULL for all.
///
/// Fails also with EINVAL (the condition).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_list_in(
    manager: *mut containerv_volume_manager,
    condition: *const c_char,
    volumes: *mut *mut containerv_volume_info,
    count: *mut c_int,
) -> c_int {
    border::call("containerv_volume_list_in", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { ListOut::new(volumes, count) }?;
        // SAFETY: NULL or a text, as the header says.
        let condition = unsafe { text::optional(condition, "condition") }?;
        let conditions: Vec<String> = condition.into_iter().collect();
        list(&*handles::manager(manager)?, &conditions, out)
    })
}

/// What is known of a volume. `*info` is filled in, and its texts are to be given back by
/// `containerv_volume_info_free`; after an error it holds zeros.
///
/// Fails with EINVAL (the name), ENOENT, EBADMSG, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_inspect(
    name: *const c_char,
    info: *mut containerv_volume_info,
) -> c_int {
    border::call("containerv_volume_inspect", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { Out::new(info, "info", empty_info()) }?;
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        inspect(&*Manager::of_process()?, &name, out)
    })
}

/// The same in the store of `manager`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_inspect_in(
    manager: *mut containerv_volume_manager,
    name: *const c_char,
    info: *mut containerv_volume_info,
) -> c_int {
    border::call("containerv_volume_inspect_in", || {
        // SAFETY: NULL or room, as the header says.
        let out = unsafe { Out::new(info, "info", empty_info()) }?;
        // SAFETY: NULL or a text, as the header says.
        let name = unsafe { text::required(name, "name") }?;
        inspect(&*handles::manager(manager)?, &name, out)
    })
}

/// Gives a list of volumes back, with all texts in it. NULL, and a list that was given back before, are
/// left alone. The last error stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_list_free(volumes: *mut containerv_volume_info) {
    border::quiet((), || memory::take_volumes(volumes));
}

/// Gives the texts of `*info` back and fills it with zeros; `info` itself is the caller's. NULL and what
/// was given back before are left alone. The last error stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_info_free(info: *mut containerv_volume_info) {
    border::quiet((), || {
        // SAFETY: NULL or a struct that was filled in or zeroed, as the header says.
        let Ok(held) = (unsafe { crate::out::one(info, "info") }) else {
            return;
        };
        // An item of a list has no texts of its own, and stays for the list.
        if held.reserved.is_null() {
            return;
        }
        memory::take_texts(held.reserved);
        // SAFETY: as above, and it may be written.
        unsafe { info.write(empty_info()) };
    });
}

/// Gives a text back. NULL, and a text that was given back before, are left alone. The last error stays
/// as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_string_free(text: *mut c_char) {
    border::quiet((), || memory::take_text(text));
}

/// The option string of a size and a file system as containerv gives them.
pub(crate) fn options_of(size_mb: u64, filesystem: Option<&str>) -> Result<String> {
    let mut options = Vec::new();
    if size_mb != 0 {
        options.push(format!("size={size_mb}M"));
    }
    if let Some(filesystem) = filesystem {
        // A comma would begin another option.
        if filesystem.contains(',') {
            return Err(Failure::argument(format!(
                "{filesystem:?} is no file system"
            )));
        }
        options.push(format!("fs={}", filesystem.to_ascii_lowercase()));
    }
    Ok(options.join(","))
}

/// Makes a volume.
pub(crate) fn create(manager: &Manager, name: String, options: &str) -> Result<()> {
    let request = CreateVolume {
        name,
        options: vec![options.to_owned()],
        ..CreateVolume::default()
    };
    manager.with(|engine| engine.create_volume(&request, &log::progress))?;
    tracing::info!(volume = request.name, "made a volume");
    Ok(())
}

fn delete(manager: &Manager, name: &str, force: bool) -> Result<()> {
    manager.with(|engine| engine.remove_volume(name, force))?;
    tracing::info!(volume = name, "removed a volume");
    Ok(())
}

/// Where a list goes.
struct ListOut {
    volumes: Out<*mut containerv_volume_info>,
    count: Out<c_int>,
}

impl ListOut {
    /// # Safety
    /// As for [`Out::new`], of both.
    unsafe fn new(volumes: *mut *mut containerv_volume_info, count: *mut c_int) -> Result<Self> {
        // SAFETY: promised by the caller.
        unsafe {
            Ok(Self {
                volumes: Out::new(volumes, "volumes", ptr::null_mut())?,
                count: Out::new(count, "count", 0)?,
            })
        }
    }
}

fn list(manager: &Manager, conditions: &[String], out: ListOut) -> Result<()> {
    let mut texts = Texts::default();
    let items = manager.with(|engine| {
        let mut items = Vec::new();
        for record in engine.list_volumes(conditions)? {
            // One that cannot be looked into, or went away since, does not hide the others.
            let details = engine.inspect_volume(record.name.as_str()).ok();
            items.push(info(&record, details.as_ref(), &mut texts));
        }
        Ok(items)
    })?;
    let count = c_int::try_from(items.len())
        .map_err(|_| Failure::argument("the store has more volumes than an int counts"))?;
    out.volumes.put(memory::give_volumes(items, texts));
    out.count.put(count);
    Ok(())
}

fn inspect(manager: &Manager, name: &str, out: Out<containerv_volume_info>) -> Result<()> {
    let details = manager.with(|engine| engine.inspect_volume(name))?;
    let mut texts = Texts::default();
    let mut filled = info(&details.record, Some(&details), &mut texts);
    filled.reserved = memory::give_texts(texts);
    out.put(filled);
    Ok(())
}

fn info(
    record: &VolumeRecord,
    details: Option<&VolumeDetails>,
    texts: &mut Texts,
) -> containerv_volume_info {
    let spec = &record.spec;
    let disk = spec.disk();
    let image = details.and_then(VolumeDetails::image);
    let path = image.map(|image| {
        // Relative to wherever the program was when it opened the store.
        let path = path::absolute(&image.path);
        let path = path.as_deref().unwrap_or(&image.path);
        path.display().to_string()
    });
    let path = path.or_else(|| spec.source());
    let is_open = image.is_some_and(|image| image.image_use == ImageUse::InUse);
    let is_claimed = details.is_some_and(|details| !details.claims.is_empty());
    let size = spec.size().map_or(0, |size| size.get());
    let format = disk.map(|disk| disk.format().to_string());
    containerv_volume_info {
        name: texts.add(record.name.as_str()),
        id: texts.add(&record.id.to_string()),
        path: texts.add_some(path.as_deref()),
        filesystem: texts.add_some(disk.map(|disk| disk.file_system().as_str())),
        format: texts.add_some(format.as_deref()),
        state: texts.add(&record.state.to_string()),
        base: texts.add_some(details.and_then(|details| details.base.as_deref())),
        r#type: match spec.kind() {
            VolumeKind::Vhd => windows_volume_type::WINDOWS_VOLUME_VHD,
            VolumeKind::HostBind => windows_volume_type::WINDOWS_VOLUME_HOST_BIND,
            VolumeKind::SmbShare => windows_volume_type::WINDOWS_VOLUME_SMB_SHARE,
            VolumeKind::Tmpfs => windows_volume_type::WINDOWS_VOLUME_TMPFS,
        },
        persistent: spec.persistent().into(),
        in_use: (is_open || is_claimed).into(),
        size_mb: size.div_ceil(MIB),
        size_bytes: size,
        used_bytes: image.and_then(|image| image.allocated_bytes).unwrap_or(0),
        created_unix_ms: record.created_unix_ms,
        reserved: ptr::null_mut(),
    }
}

fn empty_info() -> containerv_volume_info {
    containerv_volume_info {
        name: ptr::null_mut(),
        id: ptr::null_mut(),
        path: ptr::null_mut(),
        filesystem: ptr::null_mut(),
        format: ptr::null_mut(),
        state: ptr::null_mut(),
        base: ptr::null_mut(),
        r#type: windows_volume_type::WINDOWS_VOLUME_VHD,
        persistent: 0,
        in_use: 0,
        size_mb: 0,
        size_bytes: 0,
        used_bytes: 0,
        created_unix_ms: 0,
        reserved: ptr::null_mut(),
    }
}
