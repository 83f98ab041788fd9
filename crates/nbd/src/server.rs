//! A server: clients come and go until it is told to stop.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blockio::IoError;

use crate::connection::{self, ClientError};
use crate::endpoint::{BindError, Endpoint, Listener, knock};
use crate::export::Export;
use crate::stream::Stream;

/// How long clients may take to fetch their last replies once the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long is waited where the host has no resources for one more client.
const PAUSE: Duration = Duration::from_millis(50);

/// What a server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Clients at once; a further one is turned away. At least 1.
    pub connections: usize,
    /// Stop when the last client has left (after at least one came).
    pub once: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            once: false,
        }
    }
}

/// What happens at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A client came.
    Connected,
    /// A client left; why, where it did not do so by the rules.
    Disconnected(Option<String>),
    /// A client was turned away, because there are as many as may be.
    TurnedAway,
}

/// Why a server ended that nobody stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The host takes no more clients.
    #[error("waiting for clients failed")]
    Accept(#[source] io::Error),
    /// The last changes of clients may be lost.
    #[error("making the changes of clients durable failed")]
    Flush(#[from] IoError),
}

/// A socket that listens, before and while it serves.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    stop: StopHandle,
}

/// Ends a server, from any thread and as often as wanted.
#[derive(Clone, Debug)]
pub struct StopHandle {
    requested: Arc<AtomicBool>,
    endpoint: Endpoint,
}

impl StopHandle {
    /// Asks the server to stop: no new clients, no new requests, what was taken is carried out.
    pub fn stop(&self) {
        if !self.requested.swap(true, Ordering::SeqCst) {
            knock(&self.endpoint);
        }
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}

impl Server {
    /// Listens; clients wait until [`Server::serve`] is called.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        let listener = Listener::bind(endpoint)?;
        let endpoint = listener.endpoint().map_err(|source| BindError::Host {
            endpoint: endpoint.clone(),
            source,
        })?;
        let stop = StopHandle {
            requested: Arc::default(),
            endpoint,
        };
        Ok(Self { listener, stop })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.stop.endpoint
    }

    /// What stops it.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Serves `exports` until it is stopped, then flushes every disk that can be written.
    ///
    /// # Errors
    /// [`ServeError`]; clients are gone and the disks flushed all the same.
    pub fn serve(
        &self,
        exports: &[Export<'_>],
        options: ServerOptions,
        observe: &(dyn Fn(ServerEvent) + Sync),
    ) -> Result<(), ServeError> {
        let clients = Clients::default();
        let accepted = std::thread::scope(|scope| {
            let accepted = self.accept_clients(|stream| {
                let Some(seat) = clients.admit(stream, options.connections.max(1)) else {
                    observe(ServerEvent::TurnedAway);
                    return;
                };
                let serve_one = move || {
                    observe(ServerEvent::Connected);
                    let end = connection::serve(&seat.stream, exports);
                    let is_last = seat.leave();
                    observe(ServerEvent::Disconnected(reason(end)));
                    if options.once && is_last {
                        self.stop.stop();
                    }
                };
                let thread = std::thread::Builder::new().name("nbd".to_owned());
                if let Err(error) = thread.spawn_scoped(scope, serve_one) {
                    tracing::warn!(%error, "no thread for a client");
                }
            });
            clients.see_off(FAREWELL);
            accepted
        });
        let writable = exports.iter().filter(|e| !e.disk().is_read_only());
        // Each is flushed, whatever becomes of the others.
        let flushed: Vec<_> = writable.map(|export| export.disk().flush()).collect();
        accepted.map_err(ServeError::Accept)?;
        Ok(flushed.into_iter().collect::<Result<(), _>>()?)
    }

    /// Hands every client that comes to `admit` until the server is stopped.
    fn accept_clients(&self, mut admit: impl FnMut(Stream)) -> io::Result<()> {
        loop {
            let accepted = self.listener.accept();
            if self.stop.is_requested() {
                return Ok(());
            }
            match accepted {
                Ok(stream) => admit(stream),
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Why a client left, where that is worth telling.
fn reason(end: Result<(), ClientError>) -> Option<String> {
    let error = end.err().filter(|error| !error.is_farewell())?;
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Some(text)
}

/// Whether accepting may work again by itself: the client hung up, or the host is short of something.
fn is_passing(error: &io::Error) -> bool {
    // ENFILE and EMFILE have no kind of their own.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::OutOfMemory
    ) || error
        .raw_os_error()
        .is_some_and(|number| TOO_MANY_FILES.contains(&number))
}

/// The clients that are there.
#[derive(Default)]
struct Clients {
    present: Mutex<Present>,
    /// Told whenever one leaves.
    left: Condvar,
}

#[derive(Default)]
struct Present {
    next: u64,
    streams: Vec<(u64, Stream)>,
    is_closed: bool,
}

/// A client's place among those that are there; given up when it is dropped.
struct Seat<'c> {
    clients: &'c Clients,
    number: u64,
    stream: Stream,
}

impl Clients {
    /// Notes a client, unless there are as many as may be.
    fn admit(&self, stream: Stream, limit: usize) -> Option<Seat<'_>> {
        let mut present = self.lock();
        if present.is_closed || present.streams.len() >= limit {
            return None;
        }
        // Another handle, by which the client can be seen off.
        let handle = stream.try_clone().ok()?;
        let number = present.next;
        present.next += 1;
        present.streams.push((number, handle));
        Some(Seat {
            clients: self,
            number,
            stream,
        })
    }

    /// Takes no more requests from anybody, and waits until all have got their replies; those who
    /// have not fetched them by `limit` are cut off.
    fn see_off(&self, limit: Duration) {
        let mut present = self.lock();
        present.is_closed = true;
        for (_, stream) in &present.streams {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let end = Instant::now() + limit;
        while !present.streams.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                for (_, stream) in &present.streams {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                return;
            }
            let waited = self.left.wait_timeout(present, left);
            present = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn remove(&self, number: u64) -> bool {
        let mut present = self.lock();
        present.streams.retain(|(other, _)| *other != number);
        self.left.notify_all();
        present.streams.is_empty()
    }

    /// Nothing panics while it changes the list.
    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Gives the place up; whether nobody is left.
    fn leave(self) -> bool {
        self.clients.remove(self.number)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.clients.remove(self.number);
    }
}
