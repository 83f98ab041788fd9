//! mpr.dll, through which Windows connects to servers. It is loaded when it is needed, from the folder of
//! the system: a small Windows is without it.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;
use windows_sys::Win32::Foundation::{
    ERROR_EXTENDED_ERROR, ERROR_NO_NETWORK, GetLastError, HMODULE, NO_ERROR,
};
use windows_sys::Win32::NetworkManagement::WNet::{
    CONNECT_REQUIRE_PRIVACY, CONNECT_TEMPORARY, NETRESOURCEW, RESOURCETYPE_DISK,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, GetFileAttributesW, INVALID_FILE_ATTRIBUTES,
};
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};

use super::windows::{text_of_units, wide_text};
use crate::network::{NetworkCalls, NetworkConnection, NetworkRefusal};

/// `WNNC_NET_LANMAN` of wnnc.h: the network of SMB servers.
const SMB_NETWORK: u32 = 0x0002_0000;
/// Units of a name or of what a provider says; what is longer is cut off, or refused.
const MAX_TEXT: u32 = 1024;

type Text = *const u16;

// The signatures of winnetwk.h.
type GetProviderName = unsafe extern "system" fn(u32, *mut u16, *mut u32) -> u32;
type GetUser = unsafe extern "system" fn(Text, *mut u16, *mut u32) -> u32;
type AddConnection = unsafe extern "system" fn(*const NETRESOURCEW, Text, Text, u32) -> u32;
type CancelConnection = unsafe extern "system" fn(Text, u32, i32) -> u32;
type GetLastNetError = unsafe extern "system" fn(*mut u32, *mut u16, u32, *mut u16, u32) -> u32;

struct Library {
    get_provider_name: GetProviderName,
    get_user: GetUser,
    add_connection: AddConnection,
    cancel_connection: CancelConnection,
    get_last_error: GetLastNetError,
}

/// Finds a function by its name and takes it for one of the type that is expected.
macro_rules! function {
    ($module:expr, $name:literal, $signature:ty) => {{
        // SAFETY: the module is loaded and never unloaded, and the name ends with a zero.
        let found = unsafe { GetProcAddress($module, concat!($name, "\0").as_ptr()) }?;
        // SAFETY: a function of this name has this signature; both are pointers to functions.
        unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, $signature>(found) }
    }};
}

/// The network of this system.
///
/// # Errors
/// `ERROR_NO_NETWORK` where its library is not there.
pub fn network_of_system() -> Result<impl NetworkCalls + 'static, NetworkRefusal> {
    Library::load().ok_or(refusal(ERROR_NO_NETWORK))
}

impl Library {
    fn load() -> Option<Self> {
        let name = wide_text("mpr.dll");
        // SAFETY: the name ends with a zero, and the reserved handle is none.
        let module: HMODULE =
            unsafe { LoadLibraryExW(name.as_ptr(), null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
        if module.is_null() {
            return None;
        }
        Some(Self {
            get_provider_name: function!(module, "WNetGetProviderNameW", GetProviderName),
            get_user: function!(module, "WNetGetUserW", GetUser),
            add_connection: function!(module, "WNetAddConnection2W", AddConnection),
            cancel_connection: function!(module, "WNetCancelConnection2W", CancelConnection),
            get_last_error: function!(module, "WNetGetLastErrorW", GetLastNetError),
        })
    }

    /// What a code comes to, in the thread of the call that told it.
    fn check(&self, code: u32) -> Result<(), NetworkRefusal> {
        match code {
            NO_ERROR => Ok(()),
            ERROR_EXTENDED_ERROR => Err(self.extended()),
            code => Err(refusal(code)),
        }
    }

    /// What the provider said last in this thread.
    fn extended(&self) -> NetworkRefusal {
        let mut code = 0;
        let (mut words, mut name) = (room(), room());
        // SAFETY: a place for a number, and two for texts of the lengths that are told.
        let told = unsafe {
            (self.get_last_error)(
                &raw mut code,
                words.as_mut_ptr(),
                MAX_TEXT,
                name.as_mut_ptr(),
                MAX_TEXT,
            )
        };
        if told != NO_ERROR {
            return refusal(ERROR_EXTENDED_ERROR);
        }
        NetworkRefusal {
            code,
            words: Some(text_of_units(&words)),
        }
    }
}

fn refusal(code: u32) -> NetworkRefusal {
    NetworkRefusal { code, words: None }
}

/// A password for the system, overwritten when it is dropped; never grown, so that no copy is left behind.
fn wide_secret(text: &str) -> Zeroizing<Vec<u16>> {
    let mut units = Zeroizing::new(Vec::with_capacity(text.len().saturating_add(1)));
    units.extend(text.encode_utf16());
    units.push(0);
    units
}

fn room() -> Vec<u16> {
    (0..MAX_TEXT).map(|_| 0).collect()
}

impl NetworkCalls for Library {
    fn smb_provider(&self) -> Result<String, NetworkRefusal> {
        let (mut name, mut length) = (room(), MAX_TEXT);
        // SAFETY: room for a text of the length that is told.
        let code =
            unsafe { (self.get_provider_name)(SMB_NETWORK, name.as_mut_ptr(), &raw mut length) };
        self.check(code).map(|()| text_of_units(&name))
    }

    fn connected_user(&self, remote: &str) -> Result<String, NetworkRefusal> {
        let remote = wide_text(remote);
        let (mut name, mut length) = (room(), MAX_TEXT);
        // SAFETY: a text that ends with a zero, and room for one of the length that is told.
        let code = unsafe { (self.get_user)(remote.as_ptr(), name.as_mut_ptr(), &raw mut length) };
        self.check(code).map(|()| text_of_units(&name))
    }

    fn connect(&self, connection: &NetworkConnection<'_>) -> Result<(), NetworkRefusal> {
        let (mut remote, mut provider) =
            (wide_text(connection.remote), wide_text(connection.provider));
        let user = wide_text(connection.user);
        let password = wide_secret(connection.password.expose_secret());
        let resource = NETRESOURCEW {
            dwType: RESOURCETYPE_DISK,
            lpLocalName: null_mut(),
            lpRemoteName: remote.as_mut_ptr(),
            // Without it, others are asked as well, and told the password.
            lpProvider: provider.as_mut_ptr(),
            ..NETRESOURCEW::default()
        };
        let privacy = match connection.encrypted {
            true => CONNECT_REQUIRE_PRIVACY,
            false => 0,
        };
        let flags = CONNECT_TEMPORARY | privacy;
        // SAFETY: all texts end with a zero and live until it returns, and none is written into.
        let code = unsafe {
            (self.add_connection)(&raw const resource, password.as_ptr(), user.as_ptr(), flags)
        };
        self.check(code)
    }

    fn is_folder(&self, path: &str) -> Result<bool, NetworkRefusal> {
        let path = wide_text(path);
        // SAFETY: a text that ends with a zero.
        let attributes = unsafe { GetFileAttributesW(path.as_ptr()) };
        if attributes == INVALID_FILE_ATTRIBUTES {
            // SAFETY: it only reads what the thread was told last.
            return Err(refusal(unsafe { GetLastError() }));
        }
        Ok(attributes & FILE_ATTRIBUTE_DIRECTORY != 0)
    }

    fn disconnect(&self, remote: &str) -> Result<(), NetworkRefusal> {
        let remote = wide_text(remote);
        // SAFETY: a text that ends with a zero.
        let code = unsafe { (self.cancel_connection)(remote.as_ptr(), 0, 0) };
        self.check(code)
    }
}
