//! Random histories over several connections give the bytes that the same give on plain memory.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::client::{Answer, BLOCK_STATUS, FLUSH, FUA, NO_HOLE, TRIM, TestServer, WRITE_ZEROES};
use crate::disk::TestDisk;

const LENGTH: u32 = 4 << 20;

#[derive(Clone, Debug)]
enum Step {
    Read(u32, u32),
    Write(u32, u32, u8, bool),
    Zero(u32, u32, bool),
    Trim(u32, u32),
    Flush,
    Status(u32, u32),
}

fn range() -> impl Strategy<Value = (u32, u32)> {
    (0..LENGTH, prop_oneof![1..5000_u32, 1..300_000_u32])
        .prop_map(|(start, length)| (start, length.min(LENGTH - start)))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => range().prop_map(|(start, length)| Step::Read(start, length)),
        4 => (range(), any::<u8>(), any::<bool>())
            .prop_map(|((start, length), value, fua)| Step::Write(start, length, value, fua)),
        1 => (range(), any::<bool>())
            .prop_map(|((start, length), full)| Step::Zero(start, length, full)),
        1 => range().prop_map(|(start, length)| Step::Trim(start, length)),
        1 => Just(Step::Flush),
        1 => range().prop_map(|(start, length)| Step::Status(start, length)),
    ]
}

fn slice(start: u32, length: u32) -> std::ops::Range<usize> {
    let start = usize::try_from(start).unwrap();
    start..start + usize::try_from(length).unwrap()
}

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_disk_is_what_was_written(steps in prop::collection::vec((step(), 0..3_usize), 1..120)) {
        let disk = Arc::new(TestDisk::new(u64::from(LENGTH)));
        let server = TestServer::start(disk.clone());
        let mut clients = [server.structured(), server.simple(), server.structured()];
        let mut model = vec![0; usize::try_from(LENGTH).unwrap()];
        for (step, client) in steps {
            let client = &mut clients[client];
            match step {
                Step::Read(start, length) => {
                    let expected = model[slice(start, length)].to_vec();
                    prop_assert_eq!(client.read(u64::from(start), length), Answer::Bytes(expected));
                }
                Step::Write(start, length, value, fua) => {
                    model[slice(start, length)].fill(value);
                    let bytes = &model[slice(start, length)];
                    let flags = if fua { FUA } else { 0 };
                    prop_assert_eq!(client.write(flags, u64::from(start), bytes), Answer::Done);
                }
                Step::Zero(start, length, full) => {
                    model[slice(start, length)].fill(0);
                    let flags = if full { NO_HOLE } else { 0 };
                    let answer = client.request(WRITE_ZEROES, flags, u64::from(start), length);
                    prop_assert_eq!(answer, Answer::Done);
                }
                Step::Trim(start, length) => {
                    // The server's own promise: what was trimmed reads as zeros.
                    model[slice(start, length)].fill(0);
                    let answer = client.request(TRIM, 0, u64::from(start), length);
                    prop_assert_eq!(answer, Answer::Done);
                }
                Step::Flush => prop_assert_eq!(client.request(FLUSH, 0, 0, 0), Answer::Done),
                Step::Status(start, length) if client.is_structured => {
                    let answer = client.request(BLOCK_STATUS, 0, u64::from(start), length);
                    let Answer::Status(runs) = answer else {
                        return Err(TestCaseError::fail(format!("{answer:?}")));
                    };
                    let mut at = start;
                    for (run, state) in runs {
                        let zeros = model[slice(at, run)].iter().all(|&byte| byte == 0);
                        prop_assert!(state == 0 || zeros);
                        at += run;
                    }
                    prop_assert_eq!(at, start + length);
                }
                Step::Status(..) => {}
            }
        }
        for client in clients {
            client.leave();
        }
        server.finish().unwrap();
        prop_assert!(disk.bytes() == model);
    }
}
