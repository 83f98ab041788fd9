//! A side of the channel whose bytes are known in advance: the body of the fuzz target.

use crate::frame::{Decoded, Decoder, MAX_BODY, encode};
use crate::message::{decode_answer, decode_request, encode_answer, encode_request};

/// Body of the fuzz target of the channel: `data` is all that comes over it, to either side. Returns
/// how many frames and how many messages were in it.
///
/// Memory is bounded by one frame and one push, work by the length of `data`.
///
/// # Panics
/// Where something was decoded that cannot be encoded again: what the fuzz target looks for.
#[allow(
    clippy::panic,
    reason = "a fuzz target says by a panic what it has found"
)]
pub fn fuzz_channel(data: &[u8]) -> (usize, usize) {
    let (mut frames, mut messages) = (0, 0);
    let mut decoder = Decoder::new();
    for (piece, number) in data.chunks(61).zip(0_usize..) {
        decoder.push(piece);
        while let Some(decoded) = decoder.take() {
            let Decoded::Frame(frame) = decoded else {
                continue;
            };
            frames += 1;
            assert!(frame.body.len() <= MAX_BODY, "too long at piece {number}");
            if let Ok(bytes) = encode(&frame) {
                let mut again = Decoder::new();
                again.push(&bytes);
                assert!(
                    again.take() == Some(Decoded::Frame(frame.clone())),
                    "a frame is not what it was"
                );
            }
            messages += usize::from(is_message(&frame.body));
        }
    }
    (frames, messages)
}

/// Whether a body is a request or an answer; and that it is so again once written by us.
fn is_message(body: &str) -> bool {
    let request = decode_request(body).ok();
    if let Some(request) = &request {
        let again = encode_request(request).and_then(|text| decode_request(&text));
        assert!(again.is_ok(), "a request is none once written");
    }
    let answer = decode_answer(body).ok();
    if let Some(answer) = &answer {
        let again = encode_answer(answer).and_then(|text| decode_answer(&text));
        assert!(
            again.is_ok_and(|again| again == *answer),
            "an answer is not what it was"
        );
    }
    request.is_some() || answer.is_some()
}
