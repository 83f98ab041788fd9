//! Clients that lie, stall or vanish: they are cut off, and others never notice.

use std::sync::Arc;

use nbd::{ServerEvent, ServerOptions};

use crate::client::{Answer, Client, FLUSH, READ, TestServer, WRITE};
use crate::disk::TestDisk;

fn server() -> TestServer {
    TestServer::start(Arc::new(TestDisk::new(1 << 20)))
}

/// Ends the connection to the server's sending side, or fails the test after a minute.
fn expect_cut_off(mut client: Client) {
    while !client.is_cut_off() {}
}

#[test]
fn what_is_no_protocol_ends_the_connection() {
    let server = server();
    let mut witness = server.structured();
    let option = |option: u32, length: u32| {
        let mut bytes = b"IHAVEOPT".to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes
    };
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        option(1, u32::MAX),
        option(7, u32::MAX),
        option(1, 1 << 20),
    ] {
        let mut client = server.connect();
        client.send(&bytes);
        expect_cut_off(client);
        assert_eq!(witness.read(0, 1), Answer::Bytes(vec![0]));
    }
    let mut endless = server.connect();
    let mut sent = 0;
    let flood: Vec<u8> = (0..200).flat_map(|_| option(3, 0)).collect();
    while std::io::Write::write_all(&mut endless.stream, &flood).is_ok() {
        sent += 200;
        assert!(sent < 1_000_000, "options without end are taken");
        // Its replies are read, so that it is not for a full buffer that it ends.
        endless.stream.set_nonblocking(true).unwrap();
        while std::io::Read::read(&mut endless.stream, &mut [0; 4096]).is_ok_and(|n| n > 0) {}
        endless.stream.set_nonblocking(false).unwrap();
    }
    assert_eq!(witness.read(0, 1), Answer::Bytes(vec![0]));
}

#[test]
fn requests_that_are_none_end_the_connection() {
    let server = server();
    let mut witness = server.structured();
    let mut garbage = server.simple();
    garbage.send(&[0x55; 28]);
    expect_cut_off(garbage);
    let mut huge = server.simple();
    huge.ask(WRITE, 0, 0, u32::MAX, &[]);
    expect_cut_off(huge);
    assert_eq!(witness.read(0, 1), Answer::Bytes(vec![0]));
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let disk = Arc::new(TestDisk::new(1 << 20));
    let server = TestServer::start_with(
        disk.clone(),
        ServerOptions {
            connections: 2,
            once: false,
        },
    );
    // On Windows one that fetches nothing is noticed by a time limit alone.
    let rounds = if cfg!(windows) { 8 } else { 40 };
    for round in 0..rounds {
        let mut client = server.simple();
        match round % 4 {
            // In the middle of a head, of a write, with replies unread, at once.
            0 => client.send(&[0x25, 0x60, 0x95]),
            1 => drop(client.ask(WRITE, 0, 0, 100_000, &[7; 5000])),
            2 => {
                for _ in 0..64 {
                    client.ask(READ, 0, 0, 1 << 20, &[]);
                }
            }
            _ => {}
        }
        drop(client);
        // Its seat is free again, sooner or later.
        let events = server.events.iter();
        let gone = events
            .take_while(|event| !matches!(event, ServerEvent::Disconnected(_)))
            .count();
        assert!(gone <= 2, "others came or were turned away");
    }
    let mut client = server.simple();
    assert_eq!(
        client.read(0, 1),
        Answer::Bytes(vec![0]),
        "half a write was written"
    );
    assert_eq!(client.request(FLUSH, 0, 0, 0), Answer::Done);
    client.leave();
    server.finish().unwrap();
}

#[test]
fn a_client_too_many_is_turned_away() {
    let disk = Arc::new(TestDisk::new(1 << 20));
    let options = ServerOptions {
        connections: 1,
        once: false,
    };
    let server = TestServer::start_with(disk, options);
    let mut first = server.simple();
    let second = std::net::TcpStream::connect(server.address).unwrap();
    let mut event = server.events.recv().unwrap();
    while event != ServerEvent::TurnedAway {
        event = server.events.recv().unwrap();
    }
    drop(second);
    assert_eq!(first.read(0, 1), Answer::Bytes(vec![0]));
    first.leave();
}
