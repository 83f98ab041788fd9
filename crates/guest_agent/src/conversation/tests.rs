//! An agent with a system that only remembers, and hosts that die, flood and come again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use guest_proto::{
    GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, Unmount, UnplugDisk, Usage,
    decode_answer, encode_request,
};

use super::*;
use crate::system::System;

/// A system on which mounting at `/slow` takes until it is told to go on.
struct Remembering {
    mounted: Mutex<Vec<String>>,
    thawed: Mutex<u32>,
    go_on: Mutex<Receiver<()>>,
}

fn system() -> (Arc<Remembering>, Sender<()>) {
    let (sender, receiver) = channel();
    let system = Remembering {
        mounted: Mutex::new(Vec::new()),
        thawed: Mutex::new(0),
        go_on: Mutex::new(receiver),
    };
    (Arc::new(system), sender)
}

fn not_here<T>() -> Result<T, Refusal> {
    Err(refusal(ErrorKind::Unsupported, "not here"))
}

impl System for Remembering {
    fn kind(&self) -> GuestKind {
        GuestKind::Linux
    }
    fn kernel(&self) -> String {
        "none".to_owned()
    }
    fn mount_disk(&self, _: &MountDisk) -> Result<Mounted, Refusal> {
        not_here()
    }
    fn mount_share(&self, _: &MountShare) -> Result<Mounted, Refusal> {
        not_here()
    }
    fn mount_smb(&self, _: &MountSmb) -> Result<Mounted, Refusal> {
        not_here()
    }
    fn mount_memory(&self, mount: &MountMemory) -> Result<Mounted, Refusal> {
        if mount.target == "/slow" {
            locked(&self.go_on).recv().unwrap();
        }
        locked(&self.mounted).push(mount.target.clone());
        Ok(Mounted {
            target: mount.target.clone(),
            file_system: "tmpfs".to_owned(),
            read_only: false,
            formatted: false,
            was_there: false,
        })
    }
    fn unmount(&self, unmount: &Unmount) -> Result<(), Refusal> {
        locked(&self.mounted).retain(|target| *target != unmount.target);
        Ok(())
    }
    fn unplug_disk(&self, _: &UnplugDisk) -> Result<(), Refusal> {
        not_here()
    }
    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal> {
        let thing = |target: &String| MountedThing {
            target: target.clone(),
            file_system: "tmpfs".to_owned(),
            source: "x".repeat(3000),
            read_only: false,
        };
        let mut all: Vec<_> = locked(&self.mounted).iter().map(thing).collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        Ok(all)
    }
    fn sync(&self) -> Result<(), Refusal> {
        Ok(())
    }
    fn freeze(&self, _: &str) -> Result<(), Refusal> {
        Ok(())
    }
    fn thaw(&self, _: &str) -> Result<(), Refusal> {
        *locked(&self.thawed) += 1;
        Ok(())
    }
    fn usage(&self, _: &str) -> Result<Usage, Refusal> {
        not_here()
    }
    fn power_off(&self) -> Result<(), Refusal> {
        not_here()
    }
}

struct Host {
    stream: TcpStream,
    decoder: Decoder,
    token: Token,
    number: u32,
}

impl Host {
    /// A host of an agent with this system.
    fn of(system: Arc<Remembering>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        let reader = theirs.try_clone().unwrap();
        let agent = Arc::new(Agent::new(system));
        std::thread::spawn(move || hold(reader, theirs, agent, Ending::Final));
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self {
            stream,
            decoder: Decoder::new(),
            token: Token::random(),
            number: 0,
        }
    }

    fn greet(&mut self) -> Answer {
        self.token = Token::random();
        let versions = Versions::OURS;
        self.ask(&hello(versions))
    }

    fn send(&mut self, request: &Request) -> RequestId {
        self.number += 1;
        let id = RequestId {
            token: self.token,
            number: self.number,
        };
        let body = encode_request(request).unwrap().to_string();
        self.stream
            .write_all(&encode(&Frame { id, body }).unwrap())
            .unwrap();
        id
    }

    fn next(&mut self) -> (RequestId, Answer) {
        loop {
            if let Some(Decoded::Frame(frame)) = self.decoder.take() {
                return (frame.id, decode_answer(&frame.body).unwrap());
            }
            let mut piece = [0; 4096];
            let length = self.stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "the agent hung up");
            self.decoder.push(&piece[..length]);
        }
    }

    fn ask(&mut self, request: &Request) -> Answer {
        let id = self.send(request);
        let (answered, answer) = self.next();
        assert_eq!(answered, id);
        answer
    }
}

fn hello(versions: Versions) -> Request {
    let client = "a test".to_owned();
    Request::Hello(Hello { versions, client })
}

fn memory(target: &str) -> Request {
    let target = target.to_owned();
    Request::MountMemory(MountMemory { target, size: 4096 })
}

fn kind(answer: &Answer) -> Option<ErrorKind> {
    match answer {
        Answer::Refused(refusal) => Some(refusal.kind),
        _ => None,
    }
}

#[test]
fn nothing_is_done_before_a_hello_and_versions_are_agreed_on() {
    let (system, _) = system();
    let mut host = Host::of(Arc::clone(&system));
    assert_eq!(
        kind(&host.ask(&memory("/a"))),
        Some(ErrorKind::NoConversation)
    );
    let strange = Versions {
        lowest: 900,
        highest: 901,
    };
    assert_eq!(
        host.ask(&hello(strange)),
        Answer::Incompatible(Versions::OURS)
    );
    assert_eq!(
        kind(&host.ask(&Request::Sync)),
        Some(ErrorKind::NoConversation)
    );
    assert!(locked(&system.mounted).is_empty());
    assert!(matches!(host.greet(), Answer::Welcome(_)));
    assert_eq!(host.ask(&Request::Sync), Answer::Done);
}

#[test]
fn a_hello_is_answered_while_a_request_takes_its_time_and_late_answers_go_to_nobody() {
    let (system, go_on) = system();
    let mut host = Host::of(Arc::clone(&system));
    host.greet();
    host.send(&memory("/slow"));
    assert!(matches!(host.greet(), Answer::Welcome(_)));
    // The same target has to wait, others do not, and ending a mount at any price does not either.
    assert_eq!(kind(&host.ask(&memory("/slow"))), Some(ErrorKind::Busy));
    assert!(matches!(host.ask(&memory("/other")), Answer::Mounted(_)));
    let (target, lazy) = ("/slow".to_owned(), true);
    assert_eq!(
        host.ask(&Request::Unmount(Unmount { target, lazy })),
        Answer::Done
    );
    go_on.send(()).unwrap();
    while !locked(&system.mounted).contains(&"/slow".to_owned()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Had the answer to the old conversation been sent, it would come up here.
    for _ in 0..20 {
        assert_eq!(host.ask(&Request::Sync), Answer::Done);
    }
}

#[test]
fn garbage_and_broken_frames_of_an_earlier_host_are_passed_over() {
    let (system, _) = system();
    let mut host = Host::of(system);
    let whole = encode(&Frame {
        id: RequestId {
            token: Token(1),
            number: 1,
        },
        body: "x".repeat(1000),
    });
    host.stream.write_all(&[0; 100_000]).unwrap();
    host.stream.write_all(&whole.unwrap()[..300]).unwrap();
    host.stream.write_all(b"\xffcvolffffffff").unwrap();
    assert!(matches!(host.greet(), Answer::Welcome(_)));
    let id = RequestId {
        token: host.token,
        number: 77,
    };
    let body = "{\"ask\":\"fly\"}".to_owned();
    host.stream
        .write_all(&encode(&Frame { id, body }).unwrap())
        .unwrap();
    let (answered, answer) = host.next();
    assert_eq!((answered, kind(&answer)), (id, Some(ErrorKind::Invalid)));
}

#[test]
fn mounts_of_any_number_fit_into_answers() {
    let (system, _) = system();
    for number in 0..300 {
        locked(&system.mounted).push(format!("/{number:04}"));
    }
    let mut host = Host::of(system);
    host.greet();
    let (mut all, mut after) = (0, None);
    loop {
        let Answer::Mounts(page) = host.ask(&Request::ListMounts { after }) else {
            panic!("another answer");
        };
        assert!(!page.mounts.is_empty());
        all += page.mounts.len();
        after = page.mounts.last().map(|mount| mount.target.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(all, 300);
}

#[test]
fn the_end_of_one_freezing_does_not_end_the_next() {
    let (system, _) = system();
    let mut host = Host::of(Arc::clone(&system));
    host.greet();
    let freeze = |thaw_after_seconds| Request::Freeze {
        target: "/a".to_owned(),
        thaw_after_seconds,
    };
    let thaw = Request::Thaw {
        target: "/a".to_owned(),
    };
    assert_eq!(host.ask(&freeze(1)), Answer::Done);
    assert_eq!(host.ask(&thaw), Answer::Done);
    assert_eq!(host.ask(&freeze(3600)), Answer::Done);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(*locked(&system.thawed), 1);
    assert_eq!(host.ask(&freeze(0)), Answer::Done);
    let begun = Instant::now();
    while *locked(&system.thawed) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn a_command_ends_with_the_host_that_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alive");
    let (system, _) = system();
    let mut host = Host::of(system);
    host.greet();
    let script = format!("while :; do echo x >>{}; sleep 0.02; done", file.display());
    host.send(&Request::Run(guest_proto::Run {
        arguments: ["sh", "-c", &script].map(str::to_owned).to_vec(),
        limit_seconds: 600,
        limit_output: 1000,
    }));
    let length = || std::fs::metadata(&file).map_or(0, |facts| facts.len());
    let begun = Instant::now();
    while length() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    host.stream.shutdown(std::net::Shutdown::Both).unwrap();
    loop {
        let before = length();
        std::thread::sleep(Duration::from_millis(500));
        if length() == before {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}

#[cfg(unix)]
#[test]
fn output_of_a_command_comes_in_pieces_and_whole() {
    let (system, _) = system();
    let mut host = Host::of(system);
    host.greet();
    let arguments = ["sh", "-c", "head -c 300000 /dev/zero; echo e >&2; exit 7"];
    host.send(&Request::Run(guest_proto::Run {
        arguments: arguments.map(str::to_owned).to_vec(),
        limit_seconds: 60,
        limit_output: 1 << 20,
    }));
    let (mut output, mut errors) = (0, 0);
    loop {
        match host.next().1 {
            Answer::Output {
                stream: guest_proto::Stream::Output,
                bytes,
            } => output += bytes.0.len(),
            Answer::Output {
                stream: guest_proto::Stream::Error,
                bytes,
            } => errors += bytes.0.len(),
            Answer::Exited { code, .. } => {
                assert_eq!((code, output, errors), (Some(7), 300_000, 2));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}
