//! How a server ends, and what holds when it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nbd::ServerOptions;

use crate::client::{Answer, TestServer, WRITE};
use crate::disk::TestDisk;

#[test]
fn what_was_answered_is_flushed_when_the_server_stops() {
    let flushes = Arc::new(AtomicUsize::new(0));
    let counter = flushes.clone();
    let disk = Arc::new(TestDisk::new(1 << 20).on_flush(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }));
    let server = TestServer::start(disk.clone());
    let mut client = server.simple();
    let mut other = server.structured();
    assert_eq!(client.write(0, 5, b"kept"), Answer::Done);
    server.finish().unwrap();
    assert_eq!(flushes.load(Ordering::SeqCst), 1);
    assert_eq!(&disk.bytes()[5..9], b"kept");
    assert!(client.is_cut_off() && other.is_cut_off());
}

#[test]
fn a_server_for_one_client_ends_with_it() {
    let options = ServerOptions {
        connections: 4,
        once: true,
    };
    let server = TestServer::start_with(Arc::new(TestDisk::new(1 << 20)), options);
    let first = server.simple();
    let second = server.simple();
    first.leave();
    second.leave();
    server.wait().unwrap();
}

#[test]
fn a_client_that_fetches_nothing_does_not_hold_the_server_up() {
    let server = TestServer::start(Arc::new(TestDisk::new(64 << 20)));
    let mut client = server.simple();
    for _ in 0..8 {
        client.ask(crate::client::READ, 0, 0, 32 << 20, &[]);
    }
    client.ask(WRITE, 0, 0, 4, b"late");
    server.finish().unwrap();
}

#[cfg(unix)]
mod socket_file {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    use nbd::{BindError, Endpoint, Server};

    #[test]
    fn it_is_its_owners_alone_and_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.sock");
        let endpoint = Endpoint::Unix(path.clone());
        let server = Server::bind(&endpoint).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert!(matches!(
            Server::bind(&endpoint),
            Err(BindError::Taken { .. })
        ));
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_server_left_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Server::bind(&Endpoint::Unix(path.clone())).unwrap());
        std::fs::write(&path, "a file").unwrap();
        let error = Server::bind(&Endpoint::Unix(path.clone())).unwrap_err();
        assert!(matches!(error, BindError::Taken { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
}
