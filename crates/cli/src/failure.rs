//! Why a verb failed, and how that is told: what and where, then what to do about it.

use std::io::{self, Write};

use engine::ErrorKind;
use serde::Serialize;

use crate::exit;
use crate::output::{Form, json, terminal};

/// Why a verb failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine could not do it.
    Engine(engine::Error),
    /// The command line asks for something that makes no sense.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// The result could not be printed.
    Output(io::Error),
    /// Failures that have been told already, one by one; the kind of the first.
    Told(ErrorKind),
}

/// A failure as `--json` tells it.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Failure {
    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The class of the failure.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine(error) => error.kind(),
            Self::Usage { .. } => ErrorKind::InvalidArgument,
            Self::Output(_) => ErrorKind::Io,
            Self::Told(kind) => *kind,
        }
    }

    /// Whether the reader of standard output went away, which is nobody's fault.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Engine(error) => error.is_closed_output(),
            Self::Usage { .. } | Self::Told(_) => false,
        }
    }

    /// Tells the failure on standard error.
    pub(crate) fn tell(&self, form: Form) {
        let (message, hint) = match self {
            Self::Told(_) => return,
            Self::Engine(error) => (chain(error), hint_for(error)),
            Self::Usage { message, hint } => (message.clone(), Some(hint.clone())),
            Self::Output(error) => (format!("cannot write the result: {error}"), None),
        };
        tell(form, self.kind(), &message, hint.as_deref());
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The failures of a verb that goes on with the next name: each is told at once.
#[derive(Debug)]
pub(crate) struct OnTheWay {
    form: Form,
    first: Option<ErrorKind>,
}

impl OnTheWay {
    /// None yet.
    pub(crate) fn new(form: Form) -> Self {
        Self { form, first: None }
    }

    /// Tells one.
    pub(crate) fn add(&mut self, failure: impl Into<Failure>) {
        let failure = failure.into();
        failure.tell(self.form);
        self.first.get_or_insert(failure.kind());
    }

    /// Fails with the kind of the first, if there was one.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match self.first {
            Some(kind) => Err(Failure::Told(kind)),
            None => Ok(()),
        }
    }
}

/// Writes one failure in the form asked for.
pub(crate) fn tell(form: Form, kind: ErrorKind, message: &str, hint: Option<&str>) {
    let text = if form == Form::Json {
        let kind = exit::name(kind);
        let error = ErrorBody {
            kind,
            message,
            hint,
        };
        json::to_document(&ErrorDocument { error }).unwrap_or_default()
    } else {
        let mut text = format!("cvol: {}\n", terminal::escape_lines(message));
        if let Some(hint) = hint {
            text.push_str(&format!("hint: {}\n", terminal::escape_lines(hint)));
        }
        text
    };
    // A closed standard error has no better place to be told of.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// An error and its causes in one line; a cause that the text above it tells already is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // A chain of causes is as deep as the layers of the program; the bound is for safety alone.
    for _ in 0..16 {
        let Some(inner) = cause else { break };
        let told = inner.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = inner.source();
    }
    text
}

/// What the user can do about an error.
fn hint_for(error: &engine::Error) -> Option<String> {
    use engine::Subject;
    if let engine::Error::Smb(failure) = error {
        return Some(failure.advice().to_owned());
    }
    let hint = match (error.kind(), error.subject()) {
        (_, Subject::Qemu) => "install it (Debian: `qemu-system-x86`), or name it by CVOL_QEMU",
        (_, Subject::GuestPieces) => {
            "`cargo xtask setup test` makes a kernel and a file system, `cargo xtask agent` the agent; \
             name others by --guest-folder, --kernel, --initrd, --agent, or CVOL_GUEST and \
             CVOL_GUEST_AGENT"
        }
        (_, Subject::Boot) => {
            "try another kernel, `--accel tcg`, more `--memory`, or a longer `--boot-timeout`"
        }
        (ErrorKind::NotFound, Subject::GuestCommand) => {
            "give a program that is in the guest: `sh -c '...'` runs a line of shell"
        }
        (_, Subject::GuestCommand) => return None,
        (ErrorKind::NotFound, Subject::Volume) => "`cvol ls` lists the volumes",
        (_, Subject::Base) => {
            "remove what stands on it first, or let a clone stand alone with `cvol flatten CLONE`"
        }
        (_, Subject::Claim) => {
            "`cvol ps` shows what machines have, and `cvol detach --vm MACHINE` takes it away from them; \
             `cvol mounts` shows what this host has, and `cvol umount` ends that"
        }
        (ErrorKind::Unsupported, Subject::HostMount) => return None,
        (ErrorKind::InvalidArgument, Subject::HostMount) => {
            "give a free drive letter, such as `X:`, or an empty folder"
        }
        (ErrorKind::NotFound, Subject::HostMount) => {
            "`cvol mounts` lists what is mounted on this host"
        }
        (_, Subject::HostMount) => {
            "`cvol mounts` shows what this host has; `cvol umount` ends it, with `--force` under open files"
        }
        (ErrorKind::NotFound, Subject::HcsSystem) => "`cvol hcs ls` lists the systems",
        (ErrorKind::NotFound, Subject::Machine) => {
            "`cvol vm ls` lists the machines, `cvol ps` what they have"
        }
        (ErrorKind::InUse, Subject::Machine) => {
            "`cvol ps` shows what is attached; what is not attached wholly is undone by the next command"
        }
        (ErrorKind::Io, Subject::Machine) => {
            "`cvol ps` shows what is left of it, if anything; `cvol detach` tries again to take it away"
        }
        (ErrorKind::NotFound, Subject::Snapshot) => "`cvol snapshot ls VOLUME` lists the snapshots",
        (ErrorKind::AlreadyExists, Subject::Snapshot) => {
            "choose another name, or remove that snapshot with `cvol snapshot rm`"
        }
        (ErrorKind::InUse, Subject::Snapshot) => "complete that with `cvol snapshot rm`",
        (ErrorKind::Unsupported, Subject::Snapshot) => {
            "remove snapshots that are not needed any more with `cvol snapshot rm`"
        }
        (ErrorKind::NotFound, Subject::PathInVolume) => {
            "`cvol tree NAME` shows what is in the volume"
        }
        (ErrorKind::Damaged, Subject::Parent) => {
            "give the parent that it was made on with `--parent FILE`; `cvol info` shows which it was"
        }
        (_, Subject::Parent) => {
            "give the file with `--parent FILE`, or put it where the image says: `cvol info` shows where"
        }
        (ErrorKind::NotFound, Subject::Image) => {
            "give the path of an image file, or `--volume` to name a volume of the store"
        }
        (_, Subject::NoImage) => {
            "what it stands for is looked at where it lies, which `cvol inspect` tells; a machine gets it \
             by `cvol attach`; only volumes of kind vhd have an image"
        }
        (ErrorKind::NotFound | ErrorKind::Damaged, Subject::Password) => {
            "`cvol secret set VOLUME` keeps the password again; a key that was moved is found with \
             CVOL_SECRET_KEY_FILE"
        }
        (ErrorKind::Unsupported, Subject::Password) => {
            "read it in another way; where the volume has none, leave it out"
        }
        (_, Subject::Password) => {
            "give it with `--password-file FILE`, `--password-fd N` or `--password-keyring NAME`, or be asked \
             on a terminal"
        }
        (ErrorKind::NotFound, Subject::Mount) => "make the directory, or add `create` to the mount",
        (ErrorKind::NotFound, _) => "check the spelling of the path",
        (ErrorKind::AlreadyExists, Subject::PathInVolume) => {
            "choose another name, or remove it with `cvol rm NAME:/path`"
        }
        (_, Subject::FolderWithEntries) => "use `-r` to remove it with all that is in it",
        (_, Subject::UncleanVolume) => {
            "start the machine that used it and shut it down cleanly, or let Windows check it \
             (`chkdsk`), then try again; reading goes on to work"
        }
        (_, Subject::VolumeSpace) => {
            "nothing was changed; remove something with `cvol rm NAME:/path`, or use a larger size \
             (`cvol resize NAME +SIZE`)"
        }
        (ErrorKind::AlreadyExists, Subject::Volume) => {
            "choose another name, or remove that volume with `cvol rm`"
        }
        (ErrorKind::AlreadyExists, _) => "use `--force` to replace it, or choose another name",
        (_, Subject::Mount) => "`cvol attach --help` tells how mounts are written",
        (_, Subject::Endpoint) => {
            "choose another place with `--socket PATH` or `--port PORT` (0 for a free port)"
        }
        (ErrorKind::InUse, _) => "wait until the other program has let go of it, then try again",
        (ErrorKind::Damaged, Subject::Database) => {
            "move `state.db` out of the folder of the store: the next command builds it anew from \
             the records beside the images"
        }
        (ErrorKind::Damaged, Subject::HostPath) => {
            "the archive is damaged, cut short or made to do harm: get it again, from where you trust it"
        }
        (ErrorKind::Damaged, _) => "`cvol check` tells more; restore the image from a copy",
        (ErrorKind::NoSpace, _) => "free space on the host, or use another folder (`--root`)",
        (ErrorKind::InvalidArgument, Subject::Settings) => {
            "give the folder of the store with `--root` or CVOL_ROOT"
        }
        (ErrorKind::InvalidArgument, Subject::PathInVolume) => {
            "`cvol ls -l NAME:/path` shows what it is; `cat` reads files, `ls` and `tree` show folders"
        }
        (ErrorKind::InvalidArgument, _) => {
            "the help of the verb says what is allowed, as `cvol create --help` does"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
