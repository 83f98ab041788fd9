//! The network of Windows, call by call, as a login at an SMB server needs it. What is built on it can be
//! tried against a double of it on any system.

use secrecy::SecretString;

/// A connection without a drive letter, for the user of this process. Nothing prints it: it has a password.
#[derive(Clone, Copy)]
pub struct NetworkConnection<'c> {
    /// Which part of the system makes it.
    pub provider: &'c str,
    /// `\\server\share`.
    pub remote: &'c str,
    /// `user`, or `DOMAIN\user`.
    pub user: &'c str,
    /// The password.
    pub password: &'c SecretString,
    /// Whether the server has to encrypt, which not every Windows can be told.
    pub encrypted: bool,
}

/// Why a call was not met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRefusal {
    /// The code of Windows; of `ERROR_EXTENDED_ERROR` that of the provider.
    pub code: u32,
    /// What the provider said to it, where it did.
    pub words: Option<String>,
}

/// The calls. Each has its rules in Microsoft's documentation, under the name that is told with it.
pub trait NetworkCalls: Send + Sync {
    /// What the client for SMB servers is called (`WNetGetProviderName`).
    ///
    /// # Errors
    /// The refusal; where there is no such client, too.
    fn smb_provider(&self) -> Result<String, NetworkRefusal>;

    /// Who is connected to a share already, in this session of this user (`WNetGetUser`).
    ///
    /// # Errors
    /// The refusal; `ERROR_NOT_CONNECTED` where nobody is.
    fn connected_user(&self, remote: &str) -> Result<String, NetworkRefusal>;

    /// Connects, remembered by nobody, and without asking anybody (`WNetAddConnection2`).
    ///
    /// # Errors
    /// The refusal.
    fn connect(&self, connection: &NetworkConnection<'_>) -> Result<(), NetworkRefusal>;

    /// Whether a path is a folder (`GetFileAttributes`).
    ///
    /// # Errors
    /// The refusal.
    fn is_folder(&self, path: &str) -> Result<bool, NetworkRefusal>;

    /// Ends a connection that nobody uses (`WNetCancelConnection2`, without force).
    ///
    /// # Errors
    /// The refusal.
    fn disconnect(&self, remote: &str) -> Result<(), NetworkRefusal>;
}
