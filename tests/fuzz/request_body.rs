//! Bodies of reads and writes, in both forms. What an orchestrator makes of one, a worker takes, and
//! it is the same after its way through a queue.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rideshare::domain::document::json;
use rideshare::domain::ids::{Offset, RequestId};
use rideshare::domain::message::{Request, decode, encode};
use rideshare::domain::request::{Acknowledgement, WriteOperation, WriteRequest, native, original};

fn carry(request: Request) {
    request.check().expect("what was made of a body passes");
    let carried = decode::<Request>(&encode(&request));
    assert_eq!(carried.as_ref(), Ok(&request));
}

fn write(operation: WriteOperation) {
    carry(Request::Write(WriteRequest {
        id: RequestId::new("r"),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation,
    }));
}

fuzz_target!(|body: &[u8]| {
    let Ok(body) = json::parse(body) else { return };
    let mut fresh_id = || "fresh".to_owned().into();
    if let Ok(operation) = native::parse_write(body.clone(), &mut fresh_id) {
        write(operation);
    }
    if let Ok(operation) = original::parse_write(body.clone(), &mut fresh_id) {
        write(operation);
    }
    if let Ok(operation) = native::parse_read(body.clone()) {
        carry(Request::Read(operation));
    }
    let _ = original::parse_read(body);
});
