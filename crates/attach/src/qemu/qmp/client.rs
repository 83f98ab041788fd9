//! The conversation: greeting, commands and their answers, events.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::QmpError;
use super::lines::{LineFault, Lines};
use super::message::{self, Event, Greeting, Message};
use super::stream::{QmpAddress, QmpStream};

/// How much a monitor may say, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QmpLimits {
    /// The longest line, in bytes.
    pub line: usize,
    /// Events that are kept; of more, the oldest are dropped.
    pub events: usize,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Default for QmpLimits {
    /// A list of 256 block devices has about a megabyte. A busy machine without hardware support has
    /// been seen to take seconds.
    fn default() -> Self {
        Self {
            line: 16 << 20,
            events: 1024,
            timeout: Duration::from_secs(20),
        }
    }
}

/// A conversation with a monitor.
pub struct Qmp<S> {
    stream: S,
    lines: Lines,
    limits: QmpLimits,
    greeting: Greeting,
    events: VecDeque<Event>,
    /// The number of the last command.
    last: u64,
    /// Whether nothing can be said any more.
    is_over: bool,
}

impl<S> std::fmt::Debug for Qmp<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qmp")
            .field("greeting", &self.greeting)
            .field("last", &self.last)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl Qmp<Box<dyn QmpStream>> {
    /// Connects and agrees on what is spoken.
    ///
    /// # Errors
    /// [`QmpError`]; `NotThere` where nobody listens, `NoGreeting` where somebody else is listened to.
    pub fn connect(address: &QmpAddress, limits: QmpLimits) -> Result<Self, QmpError> {
        let stream = address
            .connect(limits.timeout)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset => QmpError::NotThere {
                    address: address.to_string(),
                    source,
                },
                _ => QmpError::Io(source),
            })?;
        Self::open(stream, limits)
    }
}

impl<S: QmpStream> Qmp<S> {
    /// Agrees on what is spoken, on a stream that is connected.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn open(stream: S, limits: QmpLimits) -> Result<Self, QmpError> {
        let mut qmp = Self {
            stream,
            lines: Lines::new(limits.line),
            limits,
            greeting: Greeting { version: (0, 0, 0) },
            events: VecDeque::new(),
            last: 0,
            is_over: false,
        };
        let deadline = Instant::now() + limits.timeout;
        qmp.greeting = qmp.read_greeting(deadline)?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// What QEMU said of itself.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Whether the conversation has ended: every further command fails.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Has a command carried out, and returns what it returned. What it returned is not yet true.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.execute_within(self.limits.timeout, command, arguments)
    }

    /// The same with another limit of time.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn execute_within(
        &mut self,
        timeout: Duration,
        command: &str,
        arguments: Value,
    ) -> Result<Value, QmpError> {
        if self.is_over {
            return Err(QmpError::Ended {
                when: format!("before {command}"),
            });
        }
        let deadline = Instant::now() + timeout;
        self.last += 1;
        let id = self.last;
        let mut request = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        request.push('\n');
        let unanswered = || QmpError::Unanswered {
            command: command.to_owned(),
            waited: timeout,
        };
        self.send(request.as_bytes(), deadline)
            .map_err(|fault| self.fault(fault, command, unanswered))?;
        loop {
            let line = self
                .lines
                .next(&mut self.stream, deadline)
                .map_err(|fault| self.fault(fault, command, unanswered))?;
            let message = message::read(&line).map_err(|what| self.nonsense(what))?;
            match message {
                Message::Event(event) => self.keep(event),
                Message::Greeting(_) => {
                    return Err(self.nonsense("a second greeting".to_owned()));
                }
                Message::Answer { id: given, answer } => {
                    let Some(given) = given.as_ref().and_then(Value::as_u64) else {
                        return Err(self.nonsense("an answer to nobody's command".to_owned()));
                    };
                    if given > id || given == 0 {
                        let what = format!("an answer to command {given} after {id}");
                        return Err(self.nonsense(what));
                    }
                    // Late, and nobody waits for it.
                    if given < id {
                        continue;
                    }
                    return answer.map_err(|refusal| QmpError::Refused {
                        command: command.to_owned(),
                        class: refusal.class,
                        description: refusal.description,
                    });
                }
            }
        }
    }

    /// Waits for an event, and forgets those that came before it.
    ///
    /// # Errors
    /// [`QmpError`]; no event in time is none, but `None`.
    pub fn wait_for_event(
        &mut self,
        patience: Duration,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Result<Option<Event>, QmpError> {
        let deadline = Instant::now() + patience;
        loop {
            while let Some(event) = self.events.pop_front() {
                if is_wanted(&event) {
                    return Ok(Some(event));
                }
            }
            if self.is_over {
                return Err(QmpError::Ended {
                    when: "before an event".to_owned(),
                });
            }
            let line = match self.lines.next(&mut self.stream, deadline) {
                Ok(line) => line,
                Err(LineFault::TimedOut) => return Ok(None),
                Err(fault) => return Err(self.over(fault, "while an event was waited for")),
            };
            match message::read(&line).map_err(|what| self.nonsense(what))? {
                Message::Event(event) => self.keep(event),
                // To a command that was given up.
                Message::Answer { .. } => {}
                Message::Greeting(_) => {
                    return Err(self.nonsense("a second greeting".to_owned()));
                }
            }
        }
    }

    /// The next event that came while answers were waited for.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn read_greeting(&mut self, deadline: Instant) -> Result<Greeting, QmpError> {
        let line = match self.lines.next(&mut self.stream, deadline) {
            Ok(line) => line,
            Err(LineFault::TimedOut) => {
                self.is_over = true;
                return Err(QmpError::NoGreeting {
                    waited: self.limits.timeout,
                });
            }
            Err(fault) => return Err(self.over(fault, "before it greeted us")),
        };
        match message::read(&line).map_err(|what| self.nonsense(what))? {
            Message::Greeting(greeting) => Ok(greeting),
            _ => Err(self.nonsense("no greeting".to_owned())),
        }
    }

    /// Keeps an event; of more than can be kept, the oldest goes.
    fn keep(&mut self, event: Event) {
        while self.events.len() >= self.limits.events {
            self.events.pop_front();
        }
        if self.limits.events > 0 {
            self.events.push_back(event);
        }
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), LineFault> {
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LineFault::TimedOut);
            }
            self.stream.set_patience(left).map_err(LineFault::Io)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(LineFault::Ended { in_line: false }),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    // Half a command may be out: nothing sensible can follow it.
                    io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                        self.is_over = true;
                        return Err(LineFault::TimedOut);
                    }
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        return Err(LineFault::Ended { in_line: false });
                    }
                    _ => return Err(LineFault::Io(error)),
                },
            }
        }
        Ok(())
    }

    /// A fault while a command was carried out. Running out of time leaves the conversation usable:
    /// the late answer will be known by its number.
    fn fault(
        &mut self,
        fault: LineFault,
        command: &str,
        unanswered: impl FnOnce() -> QmpError,
    ) -> QmpError {
        match fault {
            LineFault::TimedOut => unanswered(),
            fault => self.over(fault, &format!("during {command}")),
        }
    }

    fn over(&mut self, fault: LineFault, when: &str) -> QmpError {
        self.is_over = true;
        match fault {
            LineFault::Ended { in_line } => QmpError::Ended {
                when: if in_line {
                    format!("{when}, in the middle of a line")
                } else {
                    when.to_owned()
                },
            },
            LineFault::TooLong => QmpError::Nonsense {
                what: format!("a line of more than {} bytes", self.limits.line),
            },
            LineFault::Io(error) => QmpError::Io(error),
            LineFault::TimedOut => QmpError::NoGreeting {
                waited: self.limits.timeout,
            },
        }
    }

    fn nonsense(&mut self, what: String) -> QmpError {
        self.is_over = true;
        QmpError::Nonsense { what }
    }
}
