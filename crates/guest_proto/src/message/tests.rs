//! Messages as they are written, and what is none.

use super::*;
use crate::{Bytes, ErrorKind, MAX_CHUNK, MAX_TEXT, Secret};

/// Written once and for all: an agent of today has to understand a host of tomorrow.
#[test]
fn requests_and_answers_are_written_as_ever() {
    for (body, target) in [
        (
            r#"{"ask":"hello","lowest":1,"highest":1,"client":"cvol 0.1.0"}"#,
            None,
        ),
        (
            r#"{"ask":"mount-disk","controller":1,"lun":63,"serial":"VOL-1","target":"/data","file_system":"ntfs","format":false,"read_only":true,"wait_seconds":30}"#,
            Some("/data"),
        ),
        (
            r#"{"ask":"mount-share","transport":{"by":"virtio-fs","tag":"s1"},"only_file":null,"target":"/s","read_only":false,"wait_seconds":5}"#,
            Some("/s"),
        ),
        (
            r#"{"ask":"mount-share","transport":{"by":"plan9-vsock","port":564,"tree":"0"},"only_file":"f","target":"/s","read_only":false,"wait_seconds":5}"#,
            Some("/s"),
        ),
        (
            r#"{"ask":"mount-smb","server":"srv","port":1445,"share":"d","path":"a/b","user":"u","domain":null,"password":"p,\"","target":"/m","read_only":false,"require_encryption":true}"#,
            Some("/m"),
        ),
        (
            r#"{"ask":"mount-memory","target":"/t","size":4096}"#,
            Some("/t"),
        ),
        (r#"{"ask":"unmount","target":"/t","lazy":true}"#, Some("/t")),
        (r#"{"ask":"unplug-disk","controller":0,"lun":5}"#, None),
        (r#"{"ask":"list-mounts","after":"/a"}"#, None),
        (r#"{"ask":"sync"}"#, None),
        (
            r#"{"ask":"freeze","target":"/t","thaw_after_seconds":10}"#,
            Some("/t"),
        ),
        (r#"{"ask":"thaw","target":"/t"}"#, Some("/t")),
        (r#"{"ask":"usage","target":"/t"}"#, Some("/t")),
        (
            r#"{"ask":"run","arguments":["ls","/"],"limit_seconds":9,"limit_output":99}"#,
            None,
        ),
        (r#"{"ask":"power-off"}"#, None),
    ] {
        let request = decode_request(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(request.target(), target, "{body}");
        assert_eq!(encode_request(&request).unwrap().as_str(), body);
    }
    for body in [
        r#"{"is":"welcome","version":1,"agent":"0.1.0","system":"linux","kernel":"Linux 6.12"}"#,
        r#"{"is":"incompatible","lowest":2,"highest":3}"#,
        r#"{"is":"done"}"#,
        r#"{"is":"mounted","target":"/t","file_system":"ntfs3","read_only":false,"formatted":false,"was_there":true}"#,
        r#"{"is":"mounts","mounts":[{"target":"/t","file_system":"cifs","source":"//s/d","read_only":true}],"more":false}"#,
        r#"{"is":"usage","total":10,"free":3}"#,
        r#"{"is":"output","stream":"error","bytes":"AAH/"}"#,
        r#"{"is":"exited","code":null,"signal":9,"limit":"longer than allowed"}"#,
        r#"{"is":"refused","kind":"not-found","text":"no disk"}"#,
    ] {
        let answer = decode_answer(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(encode_answer(&answer).unwrap().as_str(), body);
    }
}

#[test]
fn what_is_newer_is_left_out_or_taken_for_a_failure() {
    let body = r#"{"is":"refused","kind":"not-on-a-sunday","text":"x","more":1}"#;
    let Answer::Refused(refusal) = decode_answer(body).unwrap() else {
        panic!("another answer");
    };
    assert_eq!(refusal.kind, ErrorKind::Failed);
}

#[test]
fn what_is_no_message_or_holds_too_much_is_refused() {
    let long = "x".repeat(5000);
    for body in [
        String::new(),
        "{}".to_owned(),
        "[".repeat(60_000),
        r#"{"ask":"fly"}"#.to_owned(),
        r#"{"ask":"usage"}"#.to_owned(),
        r#"{"ask":"usage","target":""}"#.to_owned(),
        r#"{"ask":"usage","target":"/a\u0000b"}"#.to_owned(),
        format!(r#"{{"ask":"usage","target":"/{long}"}}"#),
        r#"{"ask":"run","arguments":[],"limit_seconds":9,"limit_output":99}"#.to_owned(),
        r#"{"ask":"mount-disk","controller":256,"lun":0,"serial":"","target":"/a","wait_seconds":1}"#
            .to_owned(),
        r#"{"ask":"mount-share","transport":{"by":"virtio-fs","tag":"s"},"only_file":"../x","target":"/s"}"#
            .to_owned(),
    ] {
        assert!(decode_request(&body).is_err(), "{}", crate::cut(&body, 100));
    }
    let bytes = Bytes(vec![0; MAX_CHUNK + 1]);
    let stream = Stream::Output;
    assert!(encode_answer(&Answer::Output { stream, bytes }).is_err());
    assert!(decode_answer(r#"{"is":"output","stream":"output","bytes":"%"}"#).is_err());
    let refusal = Refusal::new(ErrorKind::Failed, "y".repeat(9000));
    assert_eq!(refusal.text.len(), MAX_TEXT);
}

#[test]
fn an_error_about_a_message_does_not_repeat_what_it_held() {
    let body = r#"{"ask":"mount-smb","password":"hunter2","port":"hunter2"}"#;
    let error = decode_request(body).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(Secret::new("hunter2").reveal(), "hunter2");
}

#[test]
fn the_fuzz_target_finds_frames_and_messages() {
    let id = crate::RequestId {
        token: crate::Token(1),
        number: 2,
    };
    let frame = |body: &str| crate::Frame {
        id,
        body: body.to_owned(),
    };
    let mut stream = b"garbage".to_vec();
    for body in [r#"{"ask":"sync"}"#, r#"{"is":"done"}"#, "nothing"] {
        stream.extend_from_slice(&crate::encode(&frame(body)).unwrap());
    }
    assert_eq!(crate::fuzz_channel(&stream), (3, 2));
}
