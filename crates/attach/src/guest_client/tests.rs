//! A client against agents that follow a script: honest ones, dead ones, liars and floods.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use guest_proto::{
    Bytes, Decoded, Decoder, ErrorKind, Frame, GuestKind, Mounted, Mounts, Refusal, RequestId,
    Token, Versions, decode_request, encode, encode_answer,
};
use secrecy::SecretString;

use super::*;
use crate::guest::GuestSystem;
use crate::mount::GuestFileSystem;
use crate::sides::Unmounting;

mod broken;

/// The other end of a channel.
struct Agent {
    stream: TcpStream,
    decoder: Decoder,
}

impl Agent {
    /// The next request; `None` when the client is gone.
    fn next(&mut self) -> Option<(RequestId, Request)> {
        loop {
            if let Some(Decoded::Frame(frame)) = self.decoder.take() {
                return Some((frame.id, decode_request(&frame.body).unwrap()));
            }
            let mut piece = [0; 4096];
            match Read::read(&mut self.stream, &mut piece) {
                Ok(length @ 1..) => self.decoder.push(&piece[..length]),
                _ => return None,
            }
        }
    }

    fn answer(&mut self, id: RequestId, answer: &Answer) {
        let body = encode_answer(answer).unwrap().to_string();
        self.raw(&encode(&Frame { id, body }).unwrap());
    }

    fn raw(&mut self, bytes: &[u8]) {
        // A client that has given up is no fault of the script.
        let _ = self.stream.write_all(bytes);
    }

    /// Answers hellos, and everything else by the script.
    fn serve(mut self, mut script: impl FnMut(&mut Self, RequestId, Request)) {
        while let Some((id, request)) = self.next() {
            match request {
                Request::Hello(_) => self.answer(id, &welcome(1)),
                request => script(&mut self, id, request),
            }
        }
    }
}

fn welcome(version: u16) -> Answer {
    Answer::Welcome(Welcome {
        version,
        agent: "0.1.0".to_owned(),
        system: GuestKind::Linux,
        kernel: "Linux 6.12".to_owned(),
    })
}

fn patience() -> Patience {
    let short = Duration::from_millis(1500);
    Patience {
        hello: short,
        lookup: short,
        disk: Duration::ZERO,
        work: short,
    }
}

/// A client, and the agent that it talks to.
fn pair() -> (GuestClient, Agent) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let decoder = Decoder::new();
    let client = GuestClient::new(ours).with_patience(patience());
    (client, Agent { stream, decoder })
}

/// A client of an agent that answers hellos and follows a script otherwise.
fn client_of(script: impl FnMut(&mut Agent, RequestId, Request) + Send + 'static) -> GuestClient {
    let (client, agent) = pair();
    std::thread::spawn(move || agent.serve(script));
    client
}

fn target(text: &str) -> Target {
    Target::parse(text, GuestSystem::Linux).unwrap()
}

fn disk(read_only: bool) -> DiskMount {
    DiskMount {
        slot: Slot {
            controller: 1,
            lun: 7,
        },
        serial: "VOL-1".to_owned(),
        target: target("/data"),
        file_system: Some(GuestFileSystem::Ntfs),
        format: false,
        read_only,
    }
}

fn mounted() -> Mounted {
    Mounted {
        target: "/data".to_owned(),
        file_system: "ntfs3".to_owned(),
        read_only: false,
        formatted: false,
        was_there: false,
    }
}

fn kind<T>(outcome: Result<T, Fault>) -> FaultKind {
    outcome.map(|_| "done").unwrap_err().kind()
}

#[test]
fn what_is_asked_arrives_and_what_is_answered_comes_back() {
    let client = client_of(|agent, id, request| match request {
        Request::MountDisk(mount) => {
            assert_eq!((mount.controller, mount.lun), (1, 7));
            assert_eq!(mount.serial, "VOL-1");
            agent.answer(id, &Answer::Mounted(mounted()));
        }
        Request::Unmount(unmount) if unmount.lazy => agent.answer(id, &Answer::Done),
        Request::Unmount(_) => {
            let refusal = Refusal::new(ErrorKind::Busy, "in use by process 7 (sh)");
            agent.answer(id, &Answer::Refused(refusal));
        }
        Request::Usage { .. } => {
            let usage = GuestUsage { total: 10, free: 3 };
            agent.answer(id, &Answer::Usage(usage));
        }
        _ => agent.answer(id, &Answer::Done),
    });
    assert_eq!(client.hello(Duration::from_secs(5)).unwrap().version, 1);
    client.mount_disk(&disk(false)).unwrap();
    let busy = client.unmount(&target("/data"), Unmounting::Clean);
    let busy = busy.unwrap_err();
    assert_eq!(busy.kind(), FaultKind::Busy);
    assert_eq!(busy.to_string(), "the guest: in use by process 7 (sh)");
    client
        .unmount(&target("/data"), Unmounting::Forced)
        .unwrap();
    assert_eq!(client.usage(&target("/data")).unwrap().free, 3);
    client.sync().unwrap();
    assert!(client.thaw(&target("/data")).unwrap());
    client.power_off().unwrap();
}

#[test]
fn a_password_goes_to_the_guest_and_to_nowhere_else() {
    let client = client_of(|agent, id, request| {
        let Request::MountSmb(mount) = request else {
            panic!("another request");
        };
        assert_eq!(mount.password.reveal(), "s3cret,\"x");
        assert_eq!(
            (mount.server.as_str(), mount.port),
            ("10.0.2.2", Some(1445))
        );
        assert!(mount.require_encryption);
        let refusal = Refusal::new(ErrorKind::Denied, "not let in");
        agent.answer(id, &Answer::Refused(refusal));
    });
    let source = SmbSource::parse("//10.0.2.2:1445/data").unwrap();
    let credentials = Credentials {
        user: "u".to_owned(),
        domain: None,
        password: SecretString::from("s3cret,\"x"),
    };
    let fault = client.mount_smb(&source, Some(&credentials), &target("/smb"), false);
    let fault = fault.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Denied);
    assert!(!format!("{fault:?}").contains("s3cret"));
    let nobody = client.mount_smb(&source, None, &target("/smb"), false);
    assert_eq!(kind(nobody), FaultKind::Denied);
}

#[test]
fn an_answer_that_cannot_be_true_is_nonsense() {
    let lies: Vec<(&str, Mounted)> = vec![
        (
            "another target",
            Mounted {
                target: "/etc".to_owned(),
                ..mounted()
            },
        ),
        (
            "read-only",
            Mounted {
                read_only: true,
                ..mounted()
            },
        ),
        (
            "formatted",
            Mounted {
                formatted: true,
                ..mounted()
            },
        ),
        (
            "other file system",
            Mounted {
                file_system: "ext4".to_owned(),
                ..mounted()
            },
        ),
    ];
    for (lie, answer) in lies {
        let client = client_of(move |agent, id, _| {
            agent.answer(id, &Answer::Mounted(answer.clone()));
        });
        assert_eq!(
            kind(client.mount_disk(&disk(false))),
            FaultKind::Nonsense,
            "{lie}"
        );
    }
    let client = client_of(|agent, id, _| {
        let usage = GuestUsage { total: 3, free: 10 };
        agent.answer(id, &Answer::Usage(usage));
    });
    assert_eq!(kind(client.usage(&target("/data"))), FaultKind::Nonsense);
    // An answer to something else, even a harmless one.
    assert_eq!(kind(client.sync()), FaultKind::Nonsense);
    assert_eq!(kind(client.mounts()), FaultKind::Nonsense);
    assert_eq!(kind(client.mount_disk(&disk(false))), FaultKind::Nonsense);
}

#[test]
fn lists_of_mounts_are_read_page_by_page_and_end() {
    let thing = |target: &str| GuestMount {
        target: target.to_owned(),
        file_system: "tmpfs".to_owned(),
        source: "a\u{1b}b".to_owned(),
        read_only: false,
    };
    let client = client_of(move |agent, id, request| {
        let Request::ListMounts { after } = request else {
            panic!("another request");
        };
        let (mounts, more) = match after.as_deref() {
            None => (vec![thing("/a"), thing("/b")], true),
            Some("/b") => (vec![thing("/c")], false),
            other => panic!("after {other:?}"),
        };
        agent.answer(id, &Answer::Mounts(Mounts { mounts, more }));
    });
    let mounts = client.mounts().unwrap();
    let targets: Vec<_> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/a", "/b", "/c"]);
    assert_eq!(mounts[0].source, "a b");
    for (mounts, more) in [
        (Vec::new(), true),
        (vec![thing("/b"), thing("/a")], false),
        // Round and round.
        (vec![thing("/a")], true),
    ] {
        let client = client_of(move |agent, id, _| {
            let mounts = mounts.clone();
            agent.answer(id, &Answer::Mounts(Mounts { mounts, more }));
        });
        assert_eq!(kind(client.mounts()), FaultKind::Nonsense);
    }
}

#[test]
fn an_agent_of_another_version_is_told_by_name() {
    for (versions, expected) in [((2, 3), "too new"), ((0, 0), "too old")] {
        let (client, mut agent) = pair();
        std::thread::spawn(move || {
            let (id, _) = agent.next().unwrap();
            let (lowest, highest) = versions;
            agent.answer(id, &Answer::Incompatible(Versions { lowest, highest }));
            agent.next()
        });
        let fault = client.sync().unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unsupported);
        assert!(fault.to_string().contains(expected), "{fault}");
    }
    let (client, mut agent) = pair();
    std::thread::spawn(move || {
        let (id, _) = agent.next().unwrap();
        agent.answer(id, &welcome(77));
        agent.next()
    });
    assert_eq!(kind(client.sync()), FaultKind::Nonsense);
}

#[test]
fn after_a_silence_a_new_conversation_begins_and_late_answers_are_dropped() {
    let mut silent: Vec<RequestId> = Vec::new();
    let mut tokens: Vec<Token> = Vec::new();
    let client = client_of(move |agent, id, request| {
        tokens.push(id.token);
        if let Request::Usage { .. } = request {
            // Only now comes what nobody waits for any more.
            for late in silent.drain(..) {
                let usage = GuestUsage {
                    total: 666,
                    free: 666,
                };
                agent.answer(late, &Answer::Usage(usage));
            }
            assert_ne!(tokens.first(), tokens.last());
            let usage = GuestUsage { total: 5, free: 5 };
            agent.answer(id, &Answer::Usage(usage));
        } else {
            silent.push(id);
        }
    });
    assert_eq!(kind(client.sync()), FaultKind::Unanswered);
    assert_eq!(client.usage(&target("/data")).unwrap().total, 5);
}

#[test]
fn what_an_earlier_client_left_in_the_channel_is_not_taken_for_ours() {
    let (client, mut agent) = pair();
    let stale = RequestId {
        token: Token(42),
        number: 1,
    };
    agent.answer(stale, &Answer::Done);
    let body = "x".repeat(100);
    let cut = encode(&Frame { id: stale, body }).unwrap();
    agent.raw(&cut[..50]);
    std::thread::spawn(move || agent.serve(|agent, id, _| agent.answer(id, &Answer::Done)));
    client.sync().unwrap();
}

#[test]
fn an_agent_that_began_anew_is_greeted_and_asked_again() {
    let mut is_first = true;
    let client = client_of(move |agent, id, _| {
        if std::mem::take(&mut is_first) {
            let refusal = Refusal::new(ErrorKind::NoConversation, "say hello again");
            agent.answer(id, &Answer::Refused(refusal));
        } else {
            agent.answer(id, &Answer::Done);
        }
    });
    client.sync().unwrap();
}

#[test]
fn the_end_of_the_channel_is_the_end_of_the_machine_only_where_that_is_known() {
    for (is_alive, expected) in [
        (None, FaultKind::Unanswered),
        (Some(true), FaultKind::Unanswered),
        (Some(false), FaultKind::Gone),
    ] {
        let (client, agent) = pair();
        drop(agent);
        let client = match is_alive {
            Some(is_alive) => client.with_liveness(move || is_alive),
            None => client,
        };
        assert_eq!(kind(client.sync()), expected, "{is_alive:?}");
    }
}

fn command(limit_output: u64) -> GuestCommand {
    GuestCommand {
        arguments: vec!["x".to_owned()],
        limit_seconds: 5,
        limit_output,
    }
}

#[test]
fn output_of_a_command_is_handed_over_as_it_comes_and_no_more_than_allowed() {
    let output = |text: &str| Answer::Output {
        stream: Stream::Output,
        bytes: Bytes(text.as_bytes().to_vec()),
    };
    let ended = Answer::Exited {
        code: Some(3),
        signal: None,
        limit: None,
    };
    let script = move |agent: &mut Agent, id, request| {
        let Request::Run(run) = request else {
            return agent.answer(id, &Answer::Done);
        };
        let times = if run.limit_output < 100 { 100_000 } else { 2 };
        for _ in 0..times {
            agent.answer(id, &output("hello "));
        }
        agent.answer(id, &ended);
    };
    let client = client_of(script.clone());
    let mut all = Vec::new();
    let mut take = |_: Stream, bytes: &[u8]| {
        all.extend_from_slice(bytes);
        ControlFlow::Continue(())
    };
    let end = client.run(&command(1000), &mut take).unwrap();
    assert_eq!(
        (end.code, all.as_slice()),
        (Some(3), b"hello hello ".as_slice())
    );
    let mut drop_it = |_: Stream, _: &[u8]| ControlFlow::Continue(());
    assert_eq!(
        kind(client.run(&command(10), &mut drop_it)),
        FaultKind::Nonsense
    );
    // Who breaks off hears nothing more of it, and can go on with something else.
    let client = client_of(script);
    let mut stop = |_: Stream, _: &[u8]| ControlFlow::Break(());
    assert_eq!(
        kind(client.run(&command(1000), &mut stop)),
        FaultKind::Unanswered
    );
    client.sync().unwrap();
}

#[test]
fn streams_that_know_no_limit_are_waited_for_no_longer_than_allowed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let channel = PipeChannel::new(ours.try_clone().unwrap(), ours);
    let client = GuestClient::new(channel).with_patience(patience());
    assert_eq!(kind(client.sync()), FaultKind::Unanswered);
    let decoder = Decoder::new();
    let agent = Agent { stream, decoder };
    std::thread::spawn(move || agent.serve(|agent, id, _| agent.answer(id, &Answer::Done)));
    client.sync().unwrap();
}
