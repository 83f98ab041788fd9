//! A monitor that says what a test has it say, over TCP, so that it runs on every system.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attach::qemu::qmp::{QmpAddress, QmpLimits};
use serde_json::{Value, json};

pub(crate) const GREETING: &str =
    r#"{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}, "capabilities": []}}"#;

/// What the monitor does for a command.
pub(crate) enum Reply {
    /// Answers it with this.
    Return(Value),
    /// Refuses it: class and text.
    Error(&'static str, &'static str),
    /// Says this, with `$ID` for the number of the command; line ends stand in it.
    Say(String),
    /// Says nothing.
    Nothing,
    /// Ends the conversation.
    Close,
}

/// Decides about each command, by its name and arguments.
pub(crate) type Answers = Box<dyn FnMut(&str, &Value) -> Reply + Send>;

/// A monitor.
pub(crate) struct FakeMonitor {
    pub(crate) address: QmpAddress,
    heard: Arc<Mutex<Vec<String>>>,
}

impl FakeMonitor {
    /// One that greets and answers so, in one conversation after the other; then nobody is there.
    pub(crate) fn start(conversations: Vec<Answers>) -> Self {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let (listener, address) = listen();
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut answers in conversations {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                talk(stream, &mut answers, &told);
            }
        });
        Self { address, heard }
    }

    /// One conversation.
    pub(crate) fn answering(answers: impl FnMut(&str, &Value) -> Reply + Send + 'static) -> Self {
        Self::start(vec![Box::new(answers)])
    }

    /// One that says this to who connects, and then leaves or hears no more.
    pub(crate) fn saying(words: &'static str, leaves: bool) -> Self {
        let (listener, address) = listen();
        std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let _ = stream.write_all(words.as_bytes());
            if !leaves {
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        Self {
            address,
            heard: Arc::default(),
        }
    }

    /// The commands so far, beside the one that ends the greeting.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// Limits that make a test wait little where it waits in vain, and suffice on a busy machine.
pub(crate) fn limits() -> QmpLimits {
    QmpLimits {
        line: 64 << 10,
        events: 16,
        timeout: Duration::from_secs(10),
    }
}

/// An answer of QEMU to what it cannot find.
pub(crate) fn not_found() -> Reply {
    Reply::Error("DeviceNotFound", "Device 'x' not found")
}

pub(crate) fn fine() -> Reply {
    Reply::Return(json!({}))
}

fn listen() -> (TcpListener, QmpAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = QmpAddress::Tcp(listener.local_addr().unwrap());
    (listener, address)
}

fn talk(mut stream: TcpStream, answers: &mut Answers, heard: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let _ = stream.write_all(format!("{GREETING}\r\n").as_bytes());
    for line in lines.map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).unwrap();
        let name = request["execute"].as_str().unwrap();
        let id = &request["id"];
        let reply = if name == "qmp_capabilities" {
            fine()
        } else {
            heard.lock().unwrap().push(name.to_owned());
            answers(name, &request["arguments"])
        };
        let words = match reply {
            Reply::Return(value) => format!("{}\r\n", json!({"return": value, "id": id})),
            Reply::Error(class, text) => {
                let error = json!({"class": class, "desc": text});
                format!("{}\r\n", json!({"error": error, "id": id}))
            }
            Reply::Say(words) => words.replace("$ID", &id.to_string()),
            Reply::Nothing => continue,
            Reply::Close => return,
        };
        // Who has left need not hear it.
        let _ = stream.write_all(words.as_bytes());
    }
}
