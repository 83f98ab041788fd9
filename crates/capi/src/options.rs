//! What a container is to have: kept until it is planned or set up.
//!
//! Functions of containerv's note that return nothing keep their first error in the options, so that
//! no volume is missing later without a word: every later use of the options fails with it.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::failure::{Failure, Result, Told};
use crate::manager::Manager;
use crate::request::{Kind, Request, kind_of_word};
use crate::types::{
    containerv_mount, containerv_options, containerv_volume_manager,
    containerv_windows_mount_options, containerv_windows_volume,
};
use crate::{border, handles, out, text};

/// Options of a container.
pub(crate) struct Options {
    pub(crate) manager: Arc<Manager>,
    /// What `containerv_options_set_mounts` said last.
    mounts: Vec<Request>,
    /// What was added since.
    volumes: Vec<Request>,
    /// What a volume is whose type is not said.
    driver: Kind,
    first_error: Option<Told>,
    /// What was made for the container and is removed after it.
    pub(crate) made: Vec<Made>,
}

/// Something that was made for a container. A volume and an image may have one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// A volume of the store.
    Volume(String),
    /// An image, by its whole path: the program may work in another folder by then.
    Image(PathBuf),
}

impl Options {
    fn new(manager: Arc<Manager>) -> Self {
        Self {
            manager,
            mounts: Vec::new(),
            volumes: Vec::new(),
            driver: Kind::Image,
            first_error: None,
            made: Vec::new(),
        }
    }

    /// All mounts, in the order in which they were asked for.
    ///
    /// # Errors
    /// The first that a function said which returns nothing.
    pub(crate) fn requests(&self) -> Result<Vec<Request>> {
        match &self.first_error {
            Some(told) => Err(Failure::Kept(told.clone())),
            None => Ok(self.mounts.iter().chain(&self.volumes).cloned().collect()),
        }
    }
}

/// Makes options for a container whose volumes are in the store of `manager` (NULL: that of the
/// process).
///
/// Returns a handle, to be given to `containerv_volume_options_delete`, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_options_new(
    manager: *mut containerv_volume_manager,
) -> *mut containerv_options {
    border::pointer("containerv_volume_options_new", || {
        let manager = handles::manager(manager)?;
        Ok(handles::add_options(Options::new(manager)))
    })
}

/// Lets a `struct containerv_options` of the program's own, as containerv has one, be used with the
/// functions below: `options` is taken as a name and never looked into. Call
/// `containerv_volume_options_delete` before the struct is freed.
///
/// Fails with EINVAL (NULL, no struct) and EBUSY (adopted before).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_options_adopt(
    options: *mut containerv_options,
    manager: *mut containerv_volume_manager,
) -> c_int {
    border::call("containerv_volume_options_adopt", || {
        if options.is_null() {
            return Err(Failure::argument("options is NULL"));
        }
        let manager = handles::manager(manager)?;
        handles::adopt_options(options, Options::new(manager))
    })
}

/// Forgets options and zeroes the passwords in them. A struct of the program's own stays the program's.
/// NULL is no error; options that were deleted before, or never known, fail with EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_options_delete(
    options: *mut containerv_options,
) -> c_int {
    border::call("containerv_volume_options_delete", || {
        if options.is_null() {
            return Ok(());
        }
        handles::remove_options(options)
    })
}

/// Whether all that was added to the options makes sense so far. Functions that return nothing keep
/// their first error, and this and every later use of the options fails with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_options_check(
    options: *mut containerv_options,
) -> c_int {
    border::call("containerv_volume_options_check", || {
        let options = handles::options(options)?;
        handles::lock(&options).requests().map(drop)
    })
}

/// Adds a mount.
///
/// `source` is a path of the host, an image, `//server/share`, or the name of a volume; NULL for "tmpfs".
/// `target` is where it appears in the guest. `volume_type` is "bind", "vhd" (an image by its path, or a
/// volume by its name), "named", "smb" or "tmpfs"; NULL for what the driver says. `options_str` may be
/// NULL, or have "ro", "create" (a directory of the host), "share_name", "username", "persistent", and
/// what a volume or image is made with where it is missing: "size=1G,fs=ntfs". A volume that was made so
/// with "persistent=false" is removed after the container.
///
/// Its error is kept: see `containerv_volume_options_check`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_options_add_volume(
    options: *mut containerv_options,
    source: *const c_char,
    target: *const c_char,
    volume_type: *const c_char,
    options_str: *const c_char,
) {
    border::silent("containerv_options_add_volume", || {
        change(options, true, |options| {
            // SAFETY: NULL or texts, as the header says.
            let (source, target, kind, words) = unsafe {
                (
                    text::optional(source, "source")?,
                    text::required(target, "target")?,
                    text::optional(volume_type, "volume_type")?,
                    text::optional(options_str, "options_str")?,
                )
            };
            let kind = match kind {
                None => options.driver,
                Some(word) => kind_of_word(&word).ok_or_else(|| {
                    Failure::argument(format!(
                        "{word:?} is no type of volume: bind, vhd, named, smb, tmpfs"
                    ))
                })?,
            };
            let words = words.unwrap_or_default();
            let request = Request::from_words(source, target, kind, &words)?;
            options.volumes.push(request);
            Ok(())
        })
    });
}

/// Adds a mount, as the struct says it.
///
/// Fails with EINVAL, EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_options_add(
    options: *mut containerv_options,
    volume: *const containerv_windows_volume,
) -> c_int {
    border::call("containerv_volume_options_add", || {
        change(options, false, |options| {
            // SAFETY: NULL or a struct with valid texts, as the header says.
            let request = unsafe { Request::from_volume(&out::one(volume, "volume")?) }?;
            options.volumes.push(request);
            Ok(())
        })
    })
}

/// Adds a mount with what it cannot say itself; `windows` may be NULL.
///
/// Fails with EINVAL, EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_options_add_mount(
    options: *mut containerv_options,
    mount: *const containerv_mount,
    windows: *const containerv_windows_mount_options,
) -> c_int {
    border::call("containerv_volume_options_add_mount", || {
        change(options, false, |options| {
            // SAFETY: NULL or structs with valid texts, as the header says.
            let request = unsafe {
                let mount = out::one(mount, "mount")?;
                if windows.is_null() {
                    Request::from_mount(&mount)?
                } else {
                    Request::from_mount_with(&mount, &out::one(windows, "windows")?)?
                }
            };
            options.volumes.push(request);
            Ok(())
        })
    })
}

/// The mounts of the container, in the place of those that an earlier call of this function said. What
/// was added by other functions stays. All of it is read before this returns.
///
/// Its error is kept: see `containerv_volume_options_check`. With CONTAINERV_HAS_MOUNT this declaration is
/// left out, since containerv.h has it then.
#[cfg(not(containerv_has_mount))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_options_set_mounts(
    options: *mut containerv_options,
    mounts: *const containerv_mount,
    count: c_int,
) {
    border::silent("containerv_options_set_mounts", || {
        change(options, true, |options| {
            // SAFETY: NULL or `count` structs with valid texts, as the header says.
            let requests = unsafe {
                let mounts = out::row(mounts, count, "mounts")?;
                let requests = mounts.iter().map(|mount| Request::from_mount(mount));
                requests.collect::<Result<Vec<Request>>>()?
            };
            options.mounts = requests;
            Ok(())
        })
    });
}

/// Adds a share of an SMB server, `//server/share[/path]` or the same with backslashes, which the guest
/// mounts. `username` (NULL: nobody logs in) may be `DOMAIN\user`. The password is kept in memory that is
/// zeroed when the options are deleted; it stands in no plan, no log and no argument of a program.
///
/// Fails with EINVAL, EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_attach_smb_share(
    options: *mut containerv_options,
    share_path: *const c_char,
    mount_point: *const c_char,
    username: *const c_char,
    password: *const c_char,
) -> c_int {
    border::call("containerv_volume_attach_smb_share", || {
        change(options, false, |options| {
            // SAFETY: NULL or texts, as the header says.
            let (share, target, user, password) = unsafe {
                (
                    text::required(share_path, "share_path")?,
                    text::required(mount_point, "mount_point")?,
                    text::optional(username, "username")?,
                    text::optional(password, "password")?,
                )
            };
            let request = smb_request(share, target, user, password)?;
            options.volumes.push(request);
            Ok(())
        })
    })
}

/// What stands behind volumes whose type is not said: "local" or "vhd" (the default), "bind", "smb",
/// "tmpfs"; NULL for the default.
///
/// Its error is kept: see `containerv_volume_options_check`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_options_set_volume_driver(
    options: *mut containerv_options,
    driver_name: *const c_char,
) {
    border::silent("containerv_options_set_volume_driver", || {
        change(options, true, |options| {
            // SAFETY: NULL or a text, as the header says.
            let name = unsafe { text::optional(driver_name, "driver_name") }?;
            options.driver = match name {
                None => Kind::Image,
                Some(name) => kind_of_word(&name).ok_or_else(|| {
                    Failure::argument(format!(
                        "{name:?} is no driver of volumes: local, vhd, bind, smb, tmpfs"
                    ))
                })?,
            };
            Ok(())
        })
    });
}

/// Changes options. Where `keeps`, an error stays in them.
fn change(
    options: *mut containerv_options,
    keeps: bool,
    work: impl FnOnce(&mut Options) -> Result<()>,
) -> Result<()> {
    let options = handles::options(options)?;
    let mut options = handles::lock(&options);
    let outcome = work(&mut options);
    if let (true, Err(failure)) = (keeps, &outcome) {
        options.first_error.get_or_insert_with(|| failure.told());
    }
    outcome
}

fn smb_request(
    share: String,
    target: String,
    user: Option<String>,
    password: Option<String>,
) -> Result<Request> {
    let user = user.filter(|user| !user.is_empty());
    let password = password.map(SecretString::from);
    if target.is_empty() || share.is_empty() {
        return Err(Failure::argument("the share or the mount point is empty"));
    }
    // Guests are told line by line.
    let is_line = |text: &str| !text.contains(['\n', '\r']);
    let secret = password.as_ref().map_or("", |one| one.expose_secret());
    if !user.as_deref().is_none_or(is_line) || !is_line(secret) {
        return Err(Failure::argument(
            "a user name or a password of several lines cannot be told to a guest",
        ));
    }
    if user.is_none() && !secret.is_empty() {
        return Err(Failure::argument("a password without a user name"));
    }
    Ok(Request::smb(share, target, user, password))
}
