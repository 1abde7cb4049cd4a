//! What one copy of the data can have answered, however odd it looks.

use serde_json::Value;

use crate::written::*;

#[test]
fn answers_one_after_the_other_are_sound() {
    assert_sound(&in_turn([read(Value::Null), increment(1), increment(2), read(2)]));
    assert_sound(&in_turn([swap("a", None), read("a"), swap("b", Some("a"))]));
    assert_sound(&in_turn([insert("a", true), insert("b", false), read("a")]));
    let with_deletes = [put("a"), delete(true), delete(false), read(Value::Null), put("a")];
    assert_sound(&in_turn(with_deletes));
}

#[test]
fn answers_at_the_same_time_may_stand_in_any_order() {
    assert_sound(&at_once([read(2), increment(2), read(Value::Null), increment(1)]));
    assert_sound(&at_once([swap("b", Some("a")), swap("a", None), read("b")]));
    assert_sound(&at_once([insert("a", false), insert("b", true)]));
    assert_sound(&at_once([delete(false), put("a"), delete(true)]));
}

#[test]
fn what_ends_in_one_of_several_ways_is_followed_in_all_of_them() {
    for last in ["a", "b", "c"] {
        let mut history = at_once([put("a"), put("b"), put("c")]);
        history.push(between(20, 25, read(last)));
        assert_sound(&history);
    }
}

#[test]
fn what_is_in_doubt_may_have_happened_or_not() {
    let doubt = in_doubt(between(1, 5, increment(0)));
    for seen in [1, 2] {
        assert_sound(&[doubt.clone(), between(10, 15, increment(1)), between(20, 25, read(seen))]);
    }
    let swaps = |before| {
        let mut history = in_turn([swap("a", None), swap("b", None), swap("c", Some(before))]);
        history[1] = in_doubt(history[1].clone());
        history
    };
    assert_sound(&swaps("a"));
    assert_sound(&swaps("b"));
}

#[test]
fn what_is_in_doubt_may_happen_long_after() {
    let mut history = in_turn([put("a"), put("b"), read("b"), read("b"), read("c"), put("d")]);
    history.push(in_doubt(between(5, 6, put("c"))));
    assert_sound(&history);
    history.push(between(90, 95, read("c")));
    assert_refused(&history);
}

#[test]
fn many_in_doubt_that_are_alike_are_counted() {
    let doubts = (1..40).map(|at| in_doubt(between(at, at, increment(0))));
    let known = [between(50, 55, increment(20)), between(60, 65, read(37))];
    assert_sound(&doubts.clone().chain(known.clone()).collect::<Vec<_>>());
    let all_of_them = between(70, 75, increment(41));
    let one_too_many = between(80, 85, increment(43));
    let history: Vec<_> = doubts.chain(known).chain([all_of_them]).collect();
    assert_sound(&history);
    assert_refused(&[history.as_slice(), &[one_too_many]].concat());
}

#[test]
fn session_read_may_show_an_old_state_but_not_before_its_token() {
    let mut history = in_turn((1..=9).map(increment));
    history = (1..).zip(history).map(|(offset, it)| at_offset(offset, it)).collect();
    for token in 0..=9 {
        let shown = if token == 0 { Value::Null } else { Value::from(token) };
        history.push(with_token(token, between(200 + token, 201 + token, session_read(shown))));
    }
    assert_sound(&history);
}

#[test]
fn session_read_may_show_what_is_in_doubt() {
    let history = [
        at_offset(1, between(10, 15, put("a"))),
        in_doubt(between(20, 25, put("b"))),
        with_token(1, between(30, 35, session_read("b"))),
        at_offset(9, between(40, 45, put("c"))),
        with_token(1, between(50, 55, session_read("a"))),
        with_token(1, between(60, 65, session_read("b"))),
    ];
    assert_sound(&history);
    let after = with_token(9, between(70, 75, session_read("b")));
    assert_refused(&[history.as_slice(), &[after]].concat());
}

#[test]
fn long_history_of_a_busy_document_is_decided() {
    let round = |round: u64| {
        let began = 100 * round;
        let write = move |number: u64| {
            let to = 8 * round + number;
            let row = increment(i64::try_from(to).unwrap());
            at_offset(to, between(began + 10 - number, began + 50, row))
        };
        let seen = between(began + 60, began + 70, read(8 * round + 8));
        (1..=8).map(write).chain([seen])
    };
    assert_sound(&(0..500).flat_map(round).collect::<Vec<_>>());
}
