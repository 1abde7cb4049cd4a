//! Bytes from queues, the log and the database, as everything that they may stand for.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use rideshare::domain::log::{History, Record};
use rideshare::domain::message::{Member, Progress, Reply, Request, decode, encode};

/// What can be read is the same when it is written and read again.
fn survive<T: serde::Serialize + serde::de::DeserializeOwned + Debug>(bytes: &[u8]) -> Option<T> {
    let value = decode::<T>(bytes).ok()?;
    let written = encode(&value);
    let again = decode::<T>(&written).expect("what was written can be read");
    assert_eq!(encode(&again), written);
    Some(value)
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = survive::<Request>(bytes) {
        let _ = request.check();
    }
    survive::<Reply>(bytes);
    survive::<Record>(bytes);
    survive::<Progress>(bytes);
    survive::<Member>(bytes);
    survive::<History>(bytes);
});
