//! A broker: what changes the machine is asked of it, and what it refuses is not done.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use attach::hcs::ComputeCore;
use computecore::{
    Broker, BrokerAnswer, BrokerRequest, Double, FileModel, Guest, OperationKind, Setting,
};
use serde_json::json;

use super::{ID, Open, at, disk, host};

/// A broker that answers so to each request in turn, and tells what it was asked.
fn broker(answers: Vec<&'static str>) -> (SocketAddr, Receiver<BrokerRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            sender.send(serde_json::from_str(&line).unwrap()).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (place, asked)
}

#[test]
fn disks_and_ends_are_asked_of_the_broker_and_what_it_refuses_is_not_there() {
    let fine = r#"{"code":0,"words":""}"#;
    let busy = r#"{"code":2147942432,"words":"QEMU has it open"}"#;
    let answers = vec![busy, fine, busy, fine, "nonsense\n", fine];
    let (place, asked) = broker(answers);
    let open = Open::on(Double::with(Setting {
        host: host(Guest::Linux, &[("C:\\a.vhdx", FileModel::default())]),
        hardware: Some(Box::new(Broker(place))),
        ..Setting::default()
    }));
    assert!(open.double.grant_vm_access(ID, "C:\\a.vhdx").is_success());
    let add = at("3", "Add", &disk("C:\\a.vhdx", true));
    let remove = at("3", "Remove", &json!(null));
    let next = || asked.recv_timeout(Duration::from_secs(30)).unwrap();
    let added = BrokerRequest::AddDisk {
        machine: ID.to_owned(),
        controller: 0,
        lun: 3,
        path: "C:\\a.vhdx".to_owned(),
        read_only: true,
    };
    let removed = BrokerRequest::RemoveDisk {
        machine: ID.to_owned(),
        controller: 0,
        lun: 3,
    };
    assert_eq!(open.modify(&add), 0x8007_0020);
    assert_eq!(next(), added);
    // It is not there: it can be added.
    assert_eq!(open.modify(&add), 0);
    assert_eq!(next(), added);
    assert_eq!(open.modify(&remove), 0x8007_0020);
    assert_eq!(open.modify(&remove), 0);
    assert_eq!((next(), next()), (removed.clone(), removed));
    assert_eq!(open.modify(&add), 0x8000_FFFF);
    assert_eq!(next(), added);
    assert_eq!(open.change(OperationKind::Terminate, ""), 0);
    let machine = ID.to_owned();
    assert_eq!(next(), BrokerRequest::End { machine });
    // Nobody is there any more.
    let second = open.double.open_compute_system(super::OTHER).unwrap();
    assert!(
        open.double
            .grant_vm_access(super::OTHER, "C:\\a.vhdx")
            .is_success()
    );
    let request = add.to_string();
    let told = open.run(|operation| {
        open.double
            .modify_compute_system(second, operation, &request)
    });
    assert_eq!(told.0.0, 0x8000_FFFF);
    assert!(told.1.unwrap().contains("the broker at"));
}

#[test]
fn an_answer_is_a_code_and_words() {
    let answer: BrokerAnswer = serde_json::from_str(r#"{"code":5,"words":"no"}"#).unwrap();
    assert_eq!((answer.code, answer.words.as_str()), (5, "no"));
    let request = BrokerRequest::End {
        machine: "a".to_owned(),
    };
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(text, r#"{"do":"end","machine":"a"}"#);
}
