//! The content of a file in a tar stream, handed out as a reader of its own.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use mkfs::{TreeError, TreeErrorKind};

use super::fault_of_stream;
use super::stream::Stream;

/// Reads one member of a stream, as long as the stream stands at it.
pub(super) struct Content {
    stream: Arc<Mutex<Stream>>,
    /// The member that is read.
    member: u64,
    path: Arc<str>,
}

impl Content {
    pub(super) fn new(stream: &Arc<Mutex<Stream>>, member: u64, path: String) -> Self {
        Self {
            stream: Arc::clone(stream),
            member,
            path: path.into(),
        }
    }
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.member() != self.member {
            let what = "its content was read too late";
            let error = TreeError::new(TreeErrorKind::Malformed, self.path.to_string(), what);
            return Err(error.into());
        }
        stream.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => fault_of_stream(&self.path, error).into(),
        })
    }
}
