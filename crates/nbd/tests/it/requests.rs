//! What each request does.

use std::sync::{Arc, Mutex, mpsc};

use blockio::{IoErrorKind, ReadOnly};

use crate::client::{
    Answer, BLOCK_STATUS, DF, FLUSH, FUA, NO_HOLE, READ, REQ_ONE, TRIM, TestServer, WRITE,
    WRITE_ZEROES,
};
use crate::disk::TestDisk;

const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;
const EOVERFLOW: u32 = 75;
const MIB: u64 = 1 << 20;

#[test]
fn bytes_come_back_whichever_kind_of_reply_was_agreed_on() {
    let server = TestServer::start(Arc::new(TestDisk::new(8 * MIB)));
    for mut client in [server.simple(), server.structured()] {
        assert_eq!(client.write(0, 4093, b"over a border"), Answer::Done);
        assert_eq!(client.write(FUA, 0, b"x"), Answer::Done);
        assert_eq!(client.request(FLUSH, 0, 0, 0), Answer::Done);
        assert_eq!(
            client.read(4093, 13),
            Answer::Bytes(b"over a border".to_vec())
        );
        assert_eq!(client.read(0, 2), Answer::Bytes(b"x\0".to_vec()));
        assert_eq!(client.read(8 * MIB - 1, 1), Answer::Bytes(vec![0]));
        let long: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        assert_eq!(client.write(0, MIB, &long), Answer::Done);
        assert_eq!(client.read(MIB, 3_000_000), Answer::Bytes(long));
    }
}

#[test]
fn zeros_are_sent_as_a_hole_unless_bytes_are_wanted() {
    let server = TestServer::start(Arc::new(TestDisk::new(8 * MIB)));
    let mut client = server.structured();
    assert_eq!(client.write(0, 2 * MIB, &[7; 65536]), Answer::Done);
    let zeros = Answer::Bytes(vec![0; 1 << 20]);
    assert_eq!(client.read(MIB, 1 << 20), zeros);
    assert_eq!(client.holes, 1);
    assert_eq!(client.request(READ, DF, MIB, 1 << 20), zeros);
    assert_eq!(client.holes, 0);
    let mut mixed = vec![0; 3 << 20];
    mixed[1 << 20..(1 << 20) + 65536].fill(7);
    assert_eq!(client.read(MIB, 3 << 20), Answer::Bytes(mixed));
    assert_eq!(client.holes, 0);
    assert_eq!(client.read(0, 512), Answer::Bytes(vec![0; 512]));
    assert_eq!(client.holes, 0, "not worth a hole");
}

#[test]
fn status_tells_holes_and_data() {
    let server = TestServer::start(Arc::new(TestDisk::new(8 * MIB)));
    let mut client = server.structured();
    assert_eq!(client.write(0, MIB, &[7; 1 << 20]), Answer::Done);
    let status = client.request(BLOCK_STATUS, 0, 0, 4 << 20);
    assert_eq!(
        status,
        Answer::Status(vec![(1 << 20, 3), (1 << 20, 0), (2 << 20, 3)])
    );
    let status = client.request(BLOCK_STATUS, REQ_ONE, MIB + 5, 4 << 20);
    assert_eq!(status, Answer::Status(vec![((1 << 20) - 5, 0)]));
    assert_eq!(client.request(TRIM, 0, MIB, 1 << 20), Answer::Done);
    let status = client.request(BLOCK_STATUS, 0, 0, 8 << 20);
    assert_eq!(status, Answer::Status(vec![(8 << 20, 3)]));
}

#[test]
fn zeros_are_written_with_and_without_holes() {
    let server = TestServer::start(Arc::new(TestDisk::new(8 * MIB)));
    let mut client = server.structured();
    assert_eq!(client.write(0, 0, &vec![7; 4 << 20]), Answer::Done);
    assert_eq!(client.request(WRITE_ZEROES, FUA, 0, 1 << 20), Answer::Done);
    assert_eq!(
        client.request(WRITE_ZEROES, NO_HOLE, MIB, 1 << 20),
        Answer::Done
    );
    assert_eq!(client.read(0, 2 << 20), Answer::Bytes(vec![0; 2 << 20]));
    let status = client.request(BLOCK_STATUS, 0, 0, 4 << 20);
    assert_eq!(status, Answer::Status(vec![(1 << 20, 3), (3 << 20, 0)]));
}

#[test]
fn what_cannot_be_is_refused_and_the_next_request_is_answered() {
    let server = TestServer::start(Arc::new(TestDisk::new(MIB)));
    for mut client in [server.simple(), server.structured()] {
        for (command, flags, offset, length, error) in [
            (READ, 0, MIB, 1, EINVAL),
            (READ, 0, u64::MAX, 2, EINVAL),
            (READ, NO_HOLE, 0, 1, EINVAL),
            (READ, 1 << 9, 0, 1, EINVAL),
            (WRITE_ZEROES, 0, MIB - 1, 2, ENOSPC),
            (WRITE_ZEROES, DF, 0, 1, EINVAL),
            (TRIM, 0, 1, 1 << 20, EINVAL),
            (FLUSH, REQ_ONE, 0, 0, EINVAL),
            (5, 0, 0, 0, EINVAL),
            (99, 0, 0, 0, EINVAL),
        ] {
            let answer = client.request(command, flags, offset, length);
            assert_eq!(
                answer,
                Answer::Failed(error),
                "{command} {flags} {offset} {length}"
            );
        }
        assert_eq!(client.write(0, MIB - 1, b"ab"), Answer::Failed(ENOSPC));
        assert_eq!(client.read(0, 1), Answer::Bytes(vec![0]));
    }
    let mut client = server.structured();
    assert_eq!(
        client.request(BLOCK_STATUS, 0, 0, 0),
        Answer::Failed(EINVAL)
    );
    assert_eq!(client.read(0, 0), Answer::Bytes(vec![]));
}

#[test]
fn a_read_of_more_than_a_request_may_have_is_refused() {
    let server = TestServer::start(Arc::new(TestDisk::new(64 * MIB)));
    let mut client = server.structured();
    assert_eq!(client.read(0, (32 << 20) + 1), Answer::Failed(EOVERFLOW));
    assert_eq!(client.read(0, 32 << 20), Answer::Bytes(vec![0; 32 << 20]));
}

#[test]
fn a_read_only_disk_takes_no_change() {
    let server = TestServer::start(Arc::new(ReadOnly::new(TestDisk::new(MIB))));
    let mut client = server.structured();
    assert_eq!(client.write(0, 0, b"x"), Answer::Failed(EPERM));
    for command in [TRIM, WRITE_ZEROES] {
        assert_eq!(client.request(command, 0, 0, 512), Answer::Failed(EPERM));
    }
    assert_eq!(client.request(FLUSH, 0, 0, 0), Answer::Done);
    assert_eq!(client.read(0, 1), Answer::Bytes(vec![0]));
}

#[test]
fn a_failing_disk_fails_its_requests_alone() {
    let broken = TestDisk::new(MIB)
        .on_read(|offset| {
            if offset < MIB / 2 {
                Ok(())
            } else {
                Err(IoErrorKind::Host)
            }
        })
        .on_flush(|_| Err(IoErrorKind::NoSpace));
    let server = TestServer::start(Arc::new(broken));
    for mut client in [server.simple(), server.structured()] {
        assert_eq!(client.read(MIB / 2, 512), Answer::Failed(5));
        assert_eq!(client.read(0, 512), Answer::Bytes(vec![0; 512]));
        assert_eq!(client.request(FLUSH, 0, 0, 0), Answer::Failed(ENOSPC));
        assert_eq!(client.write(FUA, 0, b"x"), Answer::Failed(ENOSPC));
        assert_eq!(client.write(0, 0, b"\0"), Answer::Done);
    }
    assert!(server.finish().is_err(), "the last flush failed unnoticed");
}

#[test]
fn requests_in_flight_are_all_answered() {
    let server = TestServer::start(Arc::new(TestDisk::new(8 * MIB)));
    let mut client = server.structured();
    let mut open = std::collections::HashMap::new();
    for number in 0..500_u32 {
        let at = u64::from(number) * 8192;
        let value = number.to_le_bytes();
        let write = client.ask(WRITE, if number % 7 == 0 { FUA } else { 0 }, at, 4, &value);
        open.insert(write, number);
        if number % 50 == 0 {
            open.insert(client.ask(FLUSH, 0, 0, 0, &[]), number);
        }
    }
    while !open.is_empty() {
        let (cookie, answer) = client.answer(None);
        assert_eq!(answer, Answer::Done);
        assert!(
            open.remove(&cookie).is_some(),
            "answered twice, or never asked"
        );
    }
    for number in 0..500_u32 {
        let answer = client.read(u64::from(number) * 8192, 4);
        assert_eq!(answer, Answer::Bytes(number.to_le_bytes().to_vec()));
    }
}

#[test]
fn a_flush_that_waits_keeps_no_read_waiting() {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let slow = TestDisk::new(MIB).on_flush(move |_| {
        released
            .lock()
            .unwrap()
            .recv()
            .map_err(|_| IoErrorKind::Host)
    });
    let server = TestServer::start(Arc::new(slow));
    let mut client = server.structured();
    let flush = client.ask(FLUSH, 0, 0, 0, &[]);
    assert!(matches!(client.read(0, 512), Answer::Bytes(_)));
    release.send(()).unwrap();
    assert_eq!(client.answer(None), (flush, Answer::Done));
    // For the flush at the end.
    release.send(()).unwrap();
}
