//! Options: what is agreed on, refused, and told.

use std::sync::Arc;

use blockio::ReadOnly;

use crate::client::{
    ACK, Client, GO, SET_META_CONTEXT, STRUCTURED_REPLY, TestServer, context_request, string,
};
use crate::disk::TestDisk;

const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const LIST: u32 = 3;
const STARTTLS: u32 = 5;
const INFO: u32 = 6;
const LIST_META_CONTEXT: u32 = 9;
const UNSUPPORTED: u32 = 0x8000_0001;
const INVALID: u32 = 0x8000_0003;
const UNKNOWN: u32 = 0x8000_0006;
const TOO_BIG: u32 = 0x8000_0009;

fn server() -> TestServer {
    TestServer::start(Arc::new(TestDisk::new(1 << 20)))
}

fn expect(client: &mut Client, option: u32, data: &[u8], reply: u32) -> Vec<u8> {
    client.option(option, data);
    let (found, payload) = client.option_reply(option);
    assert_eq!(found, reply, "{}", String::from_utf8_lossy(&payload));
    payload
}

#[test]
fn an_export_is_chosen_by_its_name_or_by_none() {
    let server = server();
    for name in ["data", ""] {
        let mut client = server.connect();
        assert_eq!(client.go(name), [0, 1, 2, 3]);
        assert_eq!(client.size, 1 << 20);
        // HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, DF, CAN_MULTI_CONN.
        assert_eq!(client.flags, 0b1_1110_1101);
        client.leave();
    }
}

#[test]
fn a_read_only_disk_is_told_to_be_one() {
    let server = TestServer::start(Arc::new(ReadOnly::new(TestDisk::new(4096))));
    let client = server.simple();
    assert_eq!(client.flags, 0b1_1000_1111);
}

#[test]
fn the_oldest_way_to_choose_works_with_and_without_its_zeros() {
    let server = server();
    for (flags, padding) in [(3_u32, 0), (1, 124)] {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.read_exact(&mut [0; 18]).unwrap();
        let mut client = Client::connect(server.address);
        client.stream = stream;
        client.send(&flags.to_be_bytes());
        client.option(EXPORT_NAME, b"data");
        let mut answer = vec![0; 10 + padding];
        client.stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..8], (1_u64 << 20).to_be_bytes());
        assert!(answer[10..].iter().all(|&byte| byte == 0));
        assert!(matches!(
            client.read(0, 512),
            crate::client::Answer::Bytes(_)
        ));
    }
    let mut client = server.connect();
    client.option(EXPORT_NAME, b"other");
    assert!(client.is_cut_off());
}

#[test]
fn options_are_refused_one_by_one_and_the_next_is_answered() {
    let server = server();
    let mut client = server.connect();
    let cut = &string("data")[..6];
    for (option, data, reply) in [
        (STARTTLS, &[][..], UNSUPPORTED),
        (77, b"whatever", UNSUPPORTED),
        (LIST, b"x", INVALID),
        (STRUCTURED_REPLY, b"x", INVALID),
        (GO, cut, INVALID),
        (GO, b"\0\0\0\x05other\0\0", UNKNOWN),
        (INFO, b"\0\0\0\x05other\0\0", UNKNOWN),
        (
            SET_META_CONTEXT,
            &context_request("data", &["base:allocation"]),
            INVALID,
        ),
        (LIST_META_CONTEXT, cut, INVALID),
        (LIST_META_CONTEXT, &context_request("other", &[]), UNKNOWN),
        (GO, &[0; 70_000], TOO_BIG),
    ] {
        expect(&mut client, option, data, reply);
    }
    expect(&mut client, ABORT, &[], ACK);
    assert!(client.is_cut_off());
}

#[test]
fn exports_and_contexts_are_listed() {
    let server = server();
    let mut client = server.connect();
    let listed = expect(&mut client, LIST, &[], 2);
    assert_eq!(listed, b"\0\0\0\x04dataa disk of the tests");
    assert_eq!(client.option_reply(LIST), (ACK, vec![]));
    for (queries, found) in [
        (&[][..], true),
        (&["base:"], true),
        (&["qemu:dirty-bitmap:x", "base:allocation"], true),
        (&["other:"], false),
    ] {
        client.option(LIST_META_CONTEXT, &context_request("data", queries));
        let (reply, payload) = client.option_reply(LIST_META_CONTEXT);
        assert_eq!(reply == 4, found, "{queries:?}");
        if found {
            assert_eq!(payload, b"\0\0\0\0base:allocation");
            assert_eq!(client.option_reply(LIST_META_CONTEXT), (ACK, vec![]));
        }
    }
}

#[test]
fn a_context_holds_for_the_export_that_was_chosen_and_until_it_is_unset() {
    use crate::client::{Answer, BLOCK_STATUS};
    let server = server();
    let mut client = server.connect();
    expect(&mut client, STRUCTURED_REPLY, &[], ACK);
    expect(
        &mut client,
        SET_META_CONTEXT,
        &context_request("data", &["base:allocation"]),
        4,
    );
    assert_eq!(client.option_reply(SET_META_CONTEXT), (ACK, vec![]));
    expect(
        &mut client,
        SET_META_CONTEXT,
        &context_request("data", &["other:x"]),
        ACK,
    );
    client.go("data");
    client.is_structured = true;
    let answer = client.request(BLOCK_STATUS, 0, 0, 512);
    assert_eq!(answer, Answer::Failed(22));
}
