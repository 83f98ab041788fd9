//! The access list of a store's folder: given to it when it is made, in the same call, so that nobody
//! is let in for a moment; and read again, for who else is let in.
//!
//! A process of an administrator with his full rights makes a store for the system and administrators.
//! Anybody else's is for him too, since he could not use it otherwise.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr::{null, null_mut};

use cap_std::fs::Dir;
use windows_sys::Win32::Foundation::{CloseHandle, ERROR_ALREADY_EXISTS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertSidToStringSidW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACL, CheckTokenMembership, CreateWellKnownSid, DACL_SECURITY_INFORMATION,
    GetSecurityDescriptorDacl, GetTokenInformation, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES, SECURITY_MAX_SID_SIZE, SetFileSecurityW,
    TOKEN_QUERY, TOKEN_USER, TokenUser, UNPROTECTED_DACL_SECURITY_INFORMATION,
    WinBuiltinAdministratorsSid,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use crate::folder_access::{others_let_in, root_rules};

/// The longest text that is taken from the system, in UTF-16 units.
const MAX_TEXT: usize = 1 << 20;

/// Makes the folder `path` with all above it. It alone gets rules of its own: what is above is not the
/// store's.
pub(crate) fn create_root(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let path = std::path::absolute(path)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let rules = Descriptor::of_root()?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
        lpSecurityDescriptor: rules.0,
        bInheritHandle: 0,
    };
    let name = wide(&path);
    // SAFETY: the name ends with a zero, and the descriptor lives across the call.
    let made = unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) };
    if made != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // Another process made it at the same moment, with the same rules.
    match is_code(&error, ERROR_ALREADY_EXISTS) && path.is_dir() {
        true => Ok(()),
        false => Err(error),
    }
}

/// Gives a folder that becomes a store the rules of a new one.
pub(crate) fn make_private(_folder: &Dir, path: &Path) -> io::Result<()> {
    let rules = Descriptor::of_root()?;
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    rules.give_to(path, what)
}

/// Replaces who may do what with a file, by rules in SDDL.
///
/// # Errors
/// The system's.
pub fn set_file_rules(path: &Path, rules: &str) -> io::Result<()> {
    let protection = match rules.starts_with("D:P") {
        true => PROTECTED_DACL_SECURITY_INFORMATION,
        false => UNPROTECTED_DACL_SECURITY_INFORMATION,
    };
    Descriptor::parse(rules)?.give_to(path, DACL_SECURITY_INFORMATION | protection)
}

/// Whom the folder is open to besides those it is for.
pub(crate) fn open_to(path: &Path) -> io::Result<Vec<String>> {
    Ok(others_let_in(&file_rules(path)?, &own_identifier()?))
}

/// Whom an open file may be opened by besides the system, administrators and whoever asks.
pub(super) fn others_of(file: &File) -> io::Result<Vec<String>> {
    let found = Descriptor::told(|place| {
        // SAFETY: the file is open across the call, and the place is one for a descriptor.
        unsafe {
            GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                place,
            )
        }
    })?;
    Ok(others_let_in(&found.rules()?, &own_identifier()?))
}

/// Who may do what with a file or folder: its rules in SDDL.
///
/// # Errors
/// The system's.
pub fn file_rules(path: &Path) -> io::Result<String> {
    let name = wide(path);
    let found = Descriptor::told(|place| {
        // SAFETY: the name ends with a zero, and the place is one for a descriptor.
        unsafe {
            GetNamedSecurityInfoW(
                name.as_ptr(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                place,
            )
        }
    })?;
    found.rules()
}

/// A descriptor that the system allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it is null or was allocated by the system for the caller to free, and nobody else has
        // it.
        unsafe { LocalFree(self.0) };
    }
}

impl Descriptor {
    /// The rules of a new store, made by whoever runs this.
    fn of_root() -> io::Result<Self> {
        let own = match is_administrator()? {
            true => None,
            false => Some(own_identifier()?),
        };
        Self::parse(&root_rules(own.as_deref()))
    }

    fn parse(rules: &str) -> io::Result<Self> {
        let rules = super::windows::wide_text(rules);
        let mut made = Self(null_mut());
        // SAFETY: the text ends with a zero, and the place for the answer lives across the call.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                rules.as_ptr(),
                SDDL_REVISION_1,
                &raw mut made.0,
                null_mut(),
            )
        };
        match done {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(made),
        }
    }

    /// The one that a call puts where it is told to; only the place for the whole is given to it.
    fn told(call: impl FnOnce(*mut PSECURITY_DESCRIPTOR) -> u32) -> io::Result<Self> {
        let mut found = Self(null_mut());
        succeeded(call(&raw mut found.0))?;
        Ok(found)
    }

    /// Its rules in SDDL.
    fn rules(&self) -> io::Result<String> {
        let mut text = null_mut();
        // SAFETY: the descriptor is one that the system made; it allocates the text.
        let done = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                self.0,
                SDDL_REVISION_1,
                DACL_SECURITY_INFORMATION,
                &raw mut text,
                null_mut(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system allocated the text for the caller to free.
        Ok(unsafe { take(text) })
    }

    /// Gives its list of rules to a file or folder, and to what inherits from that.
    fn give_to(&self, path: &Path, what: u32) -> io::Result<()> {
        let list = self.list()?;
        let name = wide(path);
        // SAFETY: the name ends with a zero, the list is a part of the descriptor, which lives across the
        // call; of the rest none is given, as `what` says.
        succeeded(unsafe {
            SetNamedSecurityInfoW(
                name.as_ptr(),
                SE_FILE_OBJECT,
                what,
                null_mut(),
                null_mut(),
                list,
                null(),
            )
        })?;
        if what & PROTECTED_DACL_SECURITY_INFORMATION == 0 {
            return Ok(());
        }
        // That handed the rules on to what is in a folder; on the file or folder itself Wine adds those of
        // the folder above, protected or not.
        // SAFETY: the name ends with a zero, and the descriptor lives across the call.
        match unsafe { SetFileSecurityW(name.as_ptr(), what, self.0) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Its list of rules, which lives as long as it does.
    fn list(&self) -> io::Result<*const ACL> {
        let (mut is_there, mut list, mut is_default) = (0, null_mut(), 0);
        // SAFETY: the descriptor is one that the system made, and the places live across the call.
        let done = unsafe {
            GetSecurityDescriptorDacl(
                self.0,
                &raw mut is_there,
                &raw mut list,
                &raw mut is_default,
            )
        };
        match done != 0 && is_there != 0 {
            true => Ok(list),
            false => Err(io::Error::last_os_error()),
        }
    }
}

/// Whether this process has the rights of an administrator, and not only his name.
fn is_administrator() -> io::Result<bool> {
    const ROOM: usize = 68;
    const _: () = assert!(SECURITY_MAX_SID_SIZE == 68);
    // Words, so that it is aligned as an identifier has to be.
    let mut group = [0_u32; ROOM / 4];
    let mut length = SECURITY_MAX_SID_SIZE;
    let group: PSID = group.as_mut_ptr().cast();
    let mut is_member = 0;
    // SAFETY: there is room for the longest identifier, and the token is that of this thread.
    let done = unsafe {
        CreateWellKnownSid(
            WinBuiltinAdministratorsSid,
            null_mut(),
            group,
            &raw mut length,
        ) != 0
            && CheckTokenMembership(null_mut(), group, &raw mut is_member) != 0
    };
    match done {
        true => Ok(is_member != 0),
        false => Err(io::Error::last_os_error()),
    }
}

/// The identifier of the user who runs this.
fn own_identifier() -> io::Result<String> {
    let mut token: HANDLE = null_mut();
    // SAFETY: the handle of the process needs no closing, and the place lives across the call.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // Words, so that it is aligned as what is put there has to be.
    let mut room = [0_u64; 32];
    let bytes = u32::try_from(size_of_val(&room)).unwrap_or(0);
    let mut needed = 0;
    let place: *mut c_void = room.as_mut_ptr().cast();
    // SAFETY: there is room for so many bytes, and the token is open; it is closed once.
    let done = unsafe {
        let done = GetTokenInformation(token, TokenUser, place, bytes, &raw mut needed);
        let error = io::Error::last_os_error();
        CloseHandle(token);
        match done {
            0 => Err(error),
            _ => Ok(()),
        }
    };
    done?;
    let mut text = null_mut();
    // SAFETY: the system put this there, and what it points to is within the room too.
    let done = unsafe {
        let user = &*place.cast::<TOKEN_USER>();
        ConvertSidToStringSidW(user.User.Sid, &raw mut text)
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system allocated the text for the caller to free.
    Ok(unsafe { take(text) })
}

/// Takes a text that the system allocated, and frees it.
///
/// # Safety
/// `text` points to units that end with a zero, from the local heap, and nobody else frees it.
unsafe fn take(text: *mut u16) -> String {
    let mut length = 0;
    // SAFETY: every unit up to the zero can be read, as the caller promises.
    while length < MAX_TEXT && unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: these units were just read one by one; the memory is freed once.
    unsafe {
        let units = std::slice::from_raw_parts(text, length);
        let taken = super::windows::text_of_units(units);
        LocalFree(text.cast());
        taken
    }
}

/// A path for the system: absolute ones past its limit get the prefix under which it has none.
fn wide(path: &Path) -> Vec<u16> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = super::database_path(super::plain_path(path));
    path.as_os_str().encode_wide().chain([0]).collect()
}

fn is_code(error: &io::Error, code: u32) -> bool {
    error
        .raw_os_error()
        .and_then(|code| u32::try_from(code).ok())
        == Some(code)
}

fn succeeded(told: u32) -> io::Result<()> {
    match told {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(
            i32::try_from(code).unwrap_or(i32::MAX),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_a_store_are_what_the_system_takes_and_tells_again() {
        for user in [None, Some("S-1-5-21-1-2-3-1001")] {
            let rules = root_rules(user);
            let descriptor = Descriptor::parse(&rules).unwrap();
            assert!(!descriptor.list().unwrap().is_null());
        }
        assert!(Descriptor::parse("D:(A;;FA;;;nobody)").is_err());
    }

    #[test]
    fn the_rules_of_a_file_are_replaced_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.vhdx");
        std::fs::write(&file, "x").unwrap();
        let own = own_identifier().unwrap();
        // Wine keeps what the owner and what everybody may.
        let rules = format!("D:P(A;;FA;;;{own})(A;;0x120089;;;WD)");
        set_file_rules(&file, &rules).unwrap();
        let found = file_rules(&file).unwrap();
        assert!(found.contains(&own), "{found}");
        // Where Wine keeps it as a mode, who may read may run too.
        let reads = ["(A;;0x120089;;;WD)", "(A;;0x1200a9;;;WD)"];
        assert!(reads.iter().any(|rule| found.contains(rule)), "{found}");
        set_file_rules(&file, &format!("D:P(A;;FA;;;{own})")).unwrap();
        let found = file_rules(&file).unwrap();
        assert!(!found.contains("WD"), "{found}");
        assert!(file_rules(&folder.path().join("none")).is_err());
        assert!(set_file_rules(&file, "nonsense").is_err());
    }

    #[test]
    fn an_open_file_tells_who_else_may_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "x").unwrap();
        let own = own_identifier().unwrap();
        set_file_rules(&path, &format!("D:P(A;;FA;;;{own})")).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(others_of(&file).unwrap(), Vec::<String>::new());
        super::super::check_private(&file).unwrap();
        set_file_rules(&path, &format!("D:P(A;;FA;;;{own})(A;;0x120089;;;WD)")).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(others_of(&file).unwrap(), ["Everyone"]);
        let error = super::super::check_private(&file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("Everyone"), "{error}");
    }

    #[test]
    fn whoever_runs_this_has_an_identifier() {
        let own = own_identifier().unwrap();
        assert!(own.starts_with("S-1-5-"), "{own}");
        is_administrator().unwrap();
    }

    #[test]
    fn a_new_root_has_rules_and_a_folder_is_given_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/store");
        create_root(&root).unwrap();
        create_root(&root).unwrap();
        let new = file_rules(&root).unwrap();
        assert!(new.contains("D:"), "{new}");
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        let folder = Dir::open_ambient_dir(&open, cap_std::ambient_authority()).unwrap();
        make_private(&folder, &open).unwrap();
        let given = file_rules(&open).unwrap();
        // Wine keeps of a list what fits into the mode of a file: the owner, and no others.
        assert!(!given.contains("WD"), "{given}");
        assert_eq!(open_to(&open).unwrap(), Vec::<String>::new());
        assert_eq!(open_to(&root).unwrap(), Vec::<String>::new());
    }
}
