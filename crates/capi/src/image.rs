//! Disk images that no store knows.

use std::ffi::{c_char, c_int};
use std::path::Path;

use engine::CreateVolume;

use crate::failure::Result;
use crate::manager::Manager;
use crate::{border, log, text, volumes};

/// Makes the disk image `path` of `size_mb` units of 1,048,576 bytes (0: 20 GiB) with a file system
/// ("NTFS" or "FAT32" in any case, "none", or NULL for NTFS), labelled `name` (NULL for no label). A path
/// that ends in ".vhd" gives a VHD, any other a VHDX. All of it is made, or nothing; a file that is there
/// is not replaced.
///
/// The image is the caller's: it is used by its path, and `containerv_volume_list` does not show it. With
/// NULL for `path` a volume `name` of the store is made, as by `containerv_volume_create_fs`.
///
/// Fails with EINVAL (the name or size, neither name nor path), EEXIST, ENOENT (the folder), ENOTSUP (a
/// file system that is not made here), ENOSPC, ECANCELED, EIO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_create_vhd(
    name: *const c_char,
    path: *const c_char,
    size_mb: u64,
    filesystem: *const c_char,
) -> c_int {
    border::call("containerv_volume_create_vhd", || {
        // SAFETY: NULL or texts, as the header says.
        let (path, filesystem) = unsafe {
            (
                text::optional(path, "path")?,
                text::optional(filesystem, "filesystem")?,
            )
        };
        let options = volumes::options_of(size_mb, filesystem.as_deref())?;
        match path {
            Some(path) => {
                // SAFETY: as above.
                let name = unsafe { text::optional(name, "name") }?;
                create_image(&*Manager::of_process()?, &path, name.as_deref(), &options)
            }
            None => {
                // SAFETY: as above.
                let name = unsafe { text::required(name, "name") }?;
                volumes::create(&*Manager::of_process()?, name, &options)
            }
        }
    })
}

/// Makes an image with the options of a volume.
pub(crate) fn create_image(
    manager: &Manager,
    path: &str,
    label: Option<&str>,
    options: &str,
) -> Result<()> {
    let mut request = CreateVolume {
        // In messages alone.
        name: label.unwrap_or("image").to_owned(),
        options: vec![options.to_owned()],
        ..CreateVolume::default()
    };
    let has_file_system = !options.contains("fs=none");
    if let Some(label) = label.filter(|_| has_file_system) {
        request.settings.push(("label", label.to_owned()));
    }
    let is_vhd = Path::new(path)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("vhd"));
    if is_vhd {
        request.settings.push(("format", "vhd".to_owned()));
    }
    manager.with(|engine| engine.make_image(Path::new(path), &request, &log::progress))?;
    tracing::info!(path, "made an image");
    Ok(())
}
