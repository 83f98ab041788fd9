//! Agents that stop, lie about lengths, flood and say what nobody understands.

use super::*;

/// What becomes of a request when the agent answers a hello and then does this. The limit of time is
/// lax: what counts is that there is one.
fn fault_of(script: impl FnMut(&mut Agent, RequestId, Request) + Send + 'static) -> FaultKind {
    let begun = Instant::now();
    let kind = kind(client_of(script).sync());
    assert!(begun.elapsed() < Duration::from_secs(30));
    kind
}

#[test]
fn agents_that_break_down_in_any_way_cost_a_bounded_time() {
    assert_eq!(fault_of(|_, _, _| {}), FaultKind::Unanswered);
    let died = fault_of(|agent, _, _| agent.stream.shutdown(std::net::Shutdown::Both).unwrap());
    assert_eq!(died, FaultKind::Unanswered);
    let died_in_mid_answer = fault_of(|agent, id, _| {
        let body = "{\"is\":\"done\"}".to_owned();
        let bytes = encode(&Frame { id, body }).unwrap();
        agent.raw(&bytes[..bytes.len() - 3]);
        agent.stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    assert_eq!(died_in_mid_answer, FaultKind::Unanswered);
    let slow = fault_of(|agent, id, _| {
        let body = "{\"is\":\"done\"}".to_owned();
        for byte in encode(&Frame { id, body }).unwrap().iter() {
            agent.raw(&[*byte]);
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    assert_eq!(slow, FaultKind::Unanswered);
    let garbage = fault_of(|agent, _, _| {
        loop {
            if agent.stream.write_all(&[b'g'; 8192]).is_err() {
                return;
            }
        }
    });
    assert_eq!(garbage, FaultKind::Nonsense);
    let flood = fault_of(|agent, id, _| {
        loop {
            let id = RequestId {
                number: id.number.wrapping_add(1000),
                ..id
            };
            let body = format!("{{\"is\":\"done\",\"x\":\"{}\"}}", "y".repeat(60_000));
            if agent
                .stream
                .write_all(&encode(&Frame { id, body }).unwrap())
                .is_err()
            {
                return;
            }
        }
    });
    assert_eq!(flood, FaultKind::Nonsense);
    let huge = fault_of(|agent, id, _| {
        let head = format!("cvol40000000{}{:08x}\n", id.token, id.number);
        agent.raw(&[b"\xff", head.as_bytes()].concat());
        agent.raw(&[b'x'; 1 << 20]);
    });
    assert_eq!(huge, FaultKind::Unanswered);
    for body in [
        "{}",
        "[]",
        "{\"is\":\"moon\"}",
        "{\"is\":\"mounted\"}",
        "null",
    ] {
        let unreadable = fault_of(move |agent, id, _| {
            let body = body.to_owned();
            agent.raw(&encode(&Frame { id, body }).unwrap());
        });
        assert_eq!(unreadable, FaultKind::Nonsense, "{body}");
    }
}
