//! What no single copy of the data could have answered.

use serde_json::Value;

use crate::written::*;

#[test]
fn lost_write_is_refused() {
    assert_refused(&in_turn([insert("a", true), read(Value::Null)]));
    assert_refused(&in_turn([put("a"), put("b"), read("a")]));
    assert_refused(&in_turn([increment(1), increment(1)]));
    assert_refused(&in_turn([swap("a", None), swap("b", None)]));
    assert_refused(&in_turn([put("a"), delete(true), read("a")]));
    assert_refused(&in_turn([put("a"), delete(false)]));
}

#[test]
fn write_lost_among_others_at_the_same_time_is_refused() {
    assert_refused(&at_once([increment(1), increment(2), increment(2)]));
    assert_refused(&at_once([swap("a", None), swap("b", None), swap("c", Some("a"))]));
    assert_refused(&at_once([insert("a", true), insert("b", true)]));
}

#[test]
fn doubled_increment_is_refused() {
    assert_refused(&in_turn([increment(1), increment(3)]));
    let mut once_in_doubt = in_turn([increment(1), increment(2), read(4)]);
    once_in_doubt[0] = in_doubt(once_in_doubt[0].clone());
    assert_refused(&once_in_doubt);
    // It can explain one of the two, not both.
    let mut in_two_windows = in_turn([increment(1), increment(2), read(3), increment(5)]);
    in_two_windows.push(in_doubt(between(1, 2, increment(0))));
    assert_refused(&in_two_windows);
}

#[test]
fn stale_strong_read_is_refused() {
    assert_refused(&in_turn([put("a"), put("b"), read("a")]));
    assert_refused(&in_turn([put("a"), put("b"), read("b"), read("a")]));
    // Two reads one behind the other while a write is under way.
    let going_back =
        [between(10, 90, put("a")), between(20, 30, read("a")), between(40, 50, read(Value::Null))];
    assert_refused(&going_back);
}

#[test]
fn value_out_of_nowhere_is_refused() {
    assert_refused(&in_turn([read("a")]));
    assert_refused(&in_turn([put("a"), read("b")]));
    assert_refused(&in_turn([swap("a", Some("x"))]));
    assert_refused(&in_turn([put("a"), session_read("b")]));
}

#[test]
fn value_before_its_write_was_asked_for_is_refused() {
    assert_refused(&in_turn([read("a"), put("a")]));
    assert_refused(&in_turn([session_read("a"), put("a")]));
    assert_refused(&[between(10, 15, read("a")), in_doubt(between(20, 25, put("a")))]);
}

#[test]
fn writes_against_the_order_of_the_log_are_refused() {
    let mut history = at_once([put("a"), put("b")]);
    history[0].offset = Some(2);
    history[1].offset = Some(1);
    history.push(between(20, 25, read("b")));
    assert_refused(&history);
}

#[test]
fn session_read_older_than_its_token_is_refused() {
    let history = |token: u64, value: i64| {
        let mut history = in_turn([increment(1), increment(2)]);
        history = (5..).zip(history).map(|(offset, it)| at_offset(offset, it)).collect();
        history.push(with_token(token, between(50, 55, session_read(value))));
        history
    };
    assert_sound(&history(6, 2));
    assert_sound(&history(5, 2));
    assert_sound(&history(5, 1));
    assert_refused(&history(6, 1));
}

#[test]
fn session_read_misses_no_write_of_its_token_that_is_not_answered_yet() {
    let write = at_offset(7, between(10, 90, put("a")));
    let token_of_another_document = with_token(7, between(20, 30, session_read(Value::Null)));
    assert_refused(&[write, token_of_another_document]);
}

#[test]
fn read_older_than_the_offset_that_it_tells_is_refused() {
    let writes = [at_offset(5, between(10, 15, put("a"))), at_offset(6, between(20, 25, put("b")))];
    let tells = |offset| at_offset(offset, between(30, 35, session_read("a")));
    let history = |offset| [writes.as_slice(), &[tells(offset)]].concat();
    assert_sound(&history(5));
    assert_refused(&history(6));
}

#[test]
fn one_wrong_document_among_many_is_named() {
    let mut history = in_turn([put("a"), read("a"), put("a"), read("b")]);
    for (number, operation) in history.iter_mut().enumerate() {
        operation.key = format!("documents/{}", number / 2);
    }
    let found = crate::consistency::violations(&history);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("documents/1: when it held \"a\","), "{found:?}");
}

#[test]
fn what_is_too_much_to_try_is_undecided() {
    let reads = (0..40).map(|_| read("a"));
    let history = at_once(std::iter::once(put("a")).chain(reads).chain([read("b")]));
    let found = crate::consistency::violations(&history);
    assert!(found[0].contains("undecided, with 42 operations"), "{found:?}");
}
