//! Streams that were cut, joined in the middle, flooded and lied in.

use proptest::prelude::*;

use super::*;

fn frame(number: u32, body: &str) -> Frame {
    let token = Token(0x0123_4567_89ab_cdef);
    let id = RequestId { token, number };
    let body = body.to_owned();
    Frame { id, body }
}

fn bytes(number: u32, body: &str) -> Vec<u8> {
    encode(&frame(number, body)).unwrap().to_vec()
}

/// What comes out of a stream that comes in pieces of this size: bodies, and errors in brackets.
fn decoded(stream: &[u8], piece: usize) -> Vec<String> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        while let Some(decoded) = decoder.take() {
            out.push(match decoded {
                Decoded::Frame(frame) => frame.body.clone(),
                Decoded::Error(error) => format!("[{error}]"),
            });
        }
        assert!(decoder.held() <= HEADER + MAX_BODY + 1 + piece.len());
    }
    out
}

#[test]
fn frames_come_out_of_any_pieces_as_they_went_in() {
    let stream = [bytes(1, "{}"), bytes(2, "ä"), bytes(u32::MAX, "")].concat();
    for piece in 1..stream.len() {
        assert_eq!(decoded(&stream, piece), ["{}", "ä", ""], "{piece}");
    }
}

#[test]
fn a_reader_that_joins_anywhere_is_in_step_with_the_next_frame() {
    let first = bytes(1, "one");
    for cut in 1..first.len() {
        let stream = [&first[cut..], &bytes(2, "two")].concat();
        assert_eq!(decoded(&stream, 7).last().unwrap(), "two", "{cut}");
    }
}

#[test]
fn a_frame_that_was_cut_off_swallows_nothing_of_the_next() {
    let first = bytes(1, &"x".repeat(5000));
    for cut in [1, 5, 20, HEADER, HEADER + 1, first.len() - 1] {
        let stream = [&first[..cut], &bytes(2, "two")].concat();
        assert_eq!(decoded(&stream, 64), ["[a broken frame]", "two"], "{cut}");
    }
}

#[test]
fn a_length_past_the_most_is_refused_before_a_byte_is_kept() {
    for length in ["40000000", "ffffffff", "00010001"] {
        let header = format!("cvol{length}{:016x}{:08x}\n", 1, 1);
        let mut stream = vec![START];
        stream.extend(header.as_bytes());
        stream.resize(stream.len() + 200_000, b'x');
        stream.extend(bytes(2, "two"));
        let out = decoded(&stream, 4096);
        assert_eq!(out.len(), 2, "{out:?}");
        assert!(out[0].contains("bytes; 65536 are the most"), "{out:?}");
        assert_eq!(out[1], "two");
    }
}

#[test]
fn what_is_longer_than_a_frame_is_not_written() {
    let longest = "x".repeat(MAX_BODY);
    assert!(decoded(&bytes(1, &longest), 4096) == [longest.as_str()]);
    let error = encode(&frame(1, &format!("{longest}x"))).unwrap_err();
    assert_eq!(
        error,
        FrameError::TooLong {
            length: MAX_BODY + 1
        }
    );
}

#[test]
fn garbage_is_counted_and_never_kept() {
    let mut decoder = Decoder::new();
    for _ in 0..1000 {
        decoder.push(&[b'g'; 4096]);
        assert!(decoder.take().is_none());
        assert_eq!(decoder.held(), 0);
    }
    assert_eq!(decoder.skipped(), 4_096_000);
    decoder.push(&bytes(1, "still here"));
    assert!(matches!(decoder.take(), Some(Decoded::Frame(_))));
}

#[test]
fn headers_that_are_almost_right_are_none() {
    let right = String::from_utf8(bytes(1, "x")[1..].to_vec()).unwrap();
    for wrong in [
        right.replacen("cvol", "cvoL", 1),
        right.replacen("00000001", "+0000001", 1),
        right.replacen("00000001", "0000000g", 1),
        right.replacen('\n', " ", 1),
        right.trim_end().to_owned() + "yy",
    ] {
        let mut stream = vec![START];
        stream.extend(wrong.as_bytes());
        stream.extend(bytes(2, "two"));
        assert_eq!(
            decoded(&stream, 3),
            ["[a broken frame]", "two"],
            "{wrong:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn frames_between_any_garbage_come_through(
        parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), ".{0,40}"), 1..8),
        piece in 1_usize..100,
    ) {
        let mut stream = Vec::new();
        let mut bodies = Vec::new();
        for (garbage, body) in &parts {
            stream.extend(garbage);
            stream.extend(bytes(7, body));
            bodies.push(body.clone());
        }
        let out = decoded(&stream, piece);
        let out: Vec<_> = out.into_iter().filter(|text| !text.starts_with("[a ")).collect();
        let bodies: Vec<_> = bodies.into_iter().filter(|text| !text.starts_with("[a ")).collect();
        prop_assert_eq!(out, bodies);
    }
}
