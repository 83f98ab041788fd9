//! One client, from the greeting to its end.
//!
//! Several threads serve a connection in turn: one waits for requests, the others carry out what
//! they took. So a flush, which waits for the host's disk, keeps no read waiting, and a client that
//! sends one request at a time pays for no hand-over between threads.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::answer::Answerer;
use crate::export::Export;
use crate::handshake::{self, HandshakeError};
use crate::incoming::{Batch, ConnectionError, Incoming};
use crate::reply::Replies;
use crate::stream::Stream;

/// How long a client may take to choose an export.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// How long a client may take to fetch anything of a reply before it is cut off. Elsewhere than on
/// Windows it is never cut off for that: there, whoever waits to send is woken when the connection ends.
const SENDING_LIMIT: Option<Duration> = if cfg!(windows) {
    Some(Duration::from_secs(10))
} else {
    None
};
/// Threads of a connection. More would only matter for a host whose disk does many things at once.
const THREADS: usize = 4;
/// Requests that are longer are carried out one after the other, in bytes, so that a client bounds
/// the memory it takes.
const LARGE: u32 = 1024 * 1024;

/// Why a client is gone that did not leave by the rules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("no thread could be started for the connection")]
    Thread(#[source] std::io::Error),
}

impl ClientError {
    /// Whether the client left by the rules before it used an export.
    pub(crate) fn is_farewell(&self) -> bool {
        matches!(self, Self::Handshake(HandshakeError::Aborted))
    }
}

/// Serves a client until it leaves.
pub(crate) fn serve(stream: &Stream, exports: &[Export<'_>]) -> Result<(), ClientError> {
    stream
        .limit_waiting(HANDSHAKE_LIMIT)
        .and_then(|()| stream.set_write_timeout(SENDING_LIMIT))
        .and_then(|()| stream.set_no_delay())
        .map_err(HandshakeError::Connection)?;
    let agreement = handshake::negotiate(stream, exports)?;
    stream.wait_for_ever().map_err(HandshakeError::Connection)?;
    let Some(export) = exports.get(agreement.export) else {
        return Ok(());
    };
    tracing::debug!(
        export = export.name(),
        ?agreement,
        "a client chose an export"
    );
    let session = Session {
        stream,
        incoming: Mutex::new(Incoming::new(stream)),
        outgoing: Mutex::new(()),
        large: Mutex::new(()),
        answerer: Answerer::new(export, agreement),
        failure: Mutex::new(None),
    };
    session.run()
}

/// Locks are taken in the order `incoming`, `large`, `outgoing`; `failure` alone.
struct Session<'c> {
    stream: &'c Stream,
    /// Guards the receiving side of the stream.
    incoming: Mutex<Incoming<&'c Stream>>,
    /// Guards the sending side of the stream.
    outgoing: Mutex<()>,
    /// Held while a large request is carried out.
    large: Mutex<()>,
    answerer: Answerer<'c>,
    /// The first failure of the connection.
    failure: Mutex<Option<ConnectionError>>,
}

impl Session<'_> {
    fn run(self) -> Result<(), ClientError> {
        std::thread::scope(|scope| {
            for _ in 1..THREADS {
                let thread = std::thread::Builder::new().name("nbd".to_owned());
                if let Err(error) = thread.spawn_scoped(scope, || self.work()) {
                    // Those that did start find the end of the stream.
                    let _ = self.stream.shutdown(Shutdown::Both);
                    return Err(ClientError::Thread(error));
                }
            }
            self.work();
            Ok(())
        })?;
        match lock(&self.failure).take() {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Carries out requests until the client leaves or the connection fails.
    fn work(&self) {
        let mut batch = Batch::default();
        let mut replies = Replies::default();
        loop {
            let large = {
                let mut incoming = lock(&self.incoming);
                if let Err(error) = incoming.take(&mut batch) {
                    self.fail(error);
                    return;
                }
                // Waited for with `incoming` held: nothing more is taken before there is room.
                let is_large = batch.requests().any(|(request, _)| request.length > LARGE);
                is_large.then(|| lock(&self.large))
            };
            if batch.is_empty() {
                return;
            }
            replies.clear();
            for (request, payload) in batch.requests() {
                self.answerer.answer(request, payload, &mut replies);
            }
            let sent = {
                let _sending = lock(&self.outgoing);
                let mut stream = self.stream;
                stream.write_all(replies.as_bytes())
            };
            drop(large);
            if let Err(error) = sent {
                self.fail(error.into());
                return;
            }
        }
    }

    /// Remembers why the connection is of no use any more, and wakes who waits for it.
    fn fail(&self, error: ConnectionError) {
        lock(&self.failure).get_or_insert(error);
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// No thread leaves what these guard half changed: whatever panicked did so outside of it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
