//! What documents, values and JSON promise.

use std::cmp::Ordering;

use super::*;

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn document(text: &str) -> Document {
    match value(text) {
        Value::Object(document) => document,
        other => panic!("{other:?} is no document"),
    }
}

fn reason(text: &str) -> String {
    json::parse(text.as_bytes()).map(|v| format!("{v:?}")).unwrap_err().to_string()
}

/// So many arrays in each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[test]
fn values_are_ordered_by_type_and_then_by_value() {
    let ascending = [
        "null",
        "-1e300",
        "-9223372036854775808",
        "-1",
        "0",
        "0.5",
        "1",
        "9007199254740992.0",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808.0",
        r#""""#,
        r#""Z""#,
        r#""a""#,
        r#""aa""#,
        r#""é""#,
        "{}",
        r#"{"b":1}"#,
        r#"{"b":1,"a":0}"#,
        r#"{"b":2}"#,
        r#"{"c":1}"#,
        r#"{"a":""}"#,
        "[]",
        "[null]",
        "[1]",
        "[1,0]",
        "[2]",
        r#"["a"]"#,
        "false",
        "true",
    ];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(value(a).compare(&value(b)), i.cmp(&j), "{a} to {b}");
        }
    }
}

#[test]
fn plain_values_become_values_of_their_type() {
    assert_eq!(Value::from(true), Value::Bool(true));
    assert_eq!(Value::from(-7_i32), Value::Integer(-7));
    assert_eq!(Value::from(i64::MIN), Value::Integer(i64::MIN));
    assert_eq!(Value::from(u32::MAX), Value::Integer(4_294_967_295));
    assert_eq!(Value::from(Some("a")), Value::String("a".to_owned()));
    assert_eq!(Value::from(None::<bool>), Value::Null);
}

#[test]
fn double_is_an_integer_where_it_stands_for_one_exactly() {
    for (text, expected) in [
        ("2.0", Some(2)),
        ("-9223372036854775808.0", Some(i64::MIN)),
        ("9223372036854775808.0", None),
        ("1e300", None),
        ("0.5", None),
        ("-0.5", None),
    ] {
        assert_eq!(value(text).as_integer(), expected, "{text}");
    }
}

#[test]
fn equality_looks_at_values_and_identity_at_types() {
    for (a, b) in [
        ("1", "1.0"),
        ("0", "-0.0"),
        ("-9223372036854775808", "-9223372036854775808.0"),
        ("[1]", "[1.0]"),
        (r#"{"a":1}"#, r#"{"a":1.0}"#),
    ] {
        assert!(value(a).equals(&value(b)), "{a} equals {b}");
        assert_ne!(value(a), value(b), "{a} is not {b}");
    }
    assert!(!value(r#"{"a":1,"b":2}"#).equals(&value(r#"{"b":2,"a":1}"#)));
    assert_ne!(document(r#"{"a":1,"b":2}"#), document(r#"{"b":2,"a":1}"#));
}

#[test]
fn nan_keeps_the_order_total() {
    let nan = Value::Double(f64::NAN);
    assert_eq!(nan.compare(&nan), Ordering::Equal);
    assert_eq!(nan.compare(&Value::Double(f64::NEG_INFINITY)), Ordering::Less);
    assert_eq!(nan.compare(&Value::Integer(i64::MIN)), Ordering::Less);
    assert_eq!(Value::Integer(0).compare(&nan), Ordering::Greater);
    assert_eq!(nan.compare(&Value::Null), Ordering::Greater);
}

#[test]
fn numbers_keep_their_type_in_json_and_messagepack() {
    let numbers = [
        Value::Double(1.0),
        Value::Double(1e30),
        Value::Double(0.1 + 0.2),
        Value::Double(f64::MIN_POSITIVE),
        Value::Integer(1),
        Value::Integer(i64::MAX),
        Value::Integer(i64::MIN),
    ];
    for number in numbers {
        let text = serde_json::to_vec(&number).unwrap();
        assert_eq!(json::parse(&text).unwrap(), number);
        let bytes = rmp_serde::to_vec(&number).unwrap();
        assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), number);
    }
}

#[test]
fn integers_beyond_64_bits_are_refused_by_name() {
    let cases = [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
    ];
    for literal in cases {
        let text = format!(r#"{{"a": "12345678901234567890\"", "b": [1.5, {literal}]}}"#);
        assert!(reason(&text).contains(literal), "{literal}: {}", reason(&text));
        assert!(reason(&text).contains("line 1"), "{}", reason(&text));
    }
    let text = "{\"a\":\n  99999999999999999999}";
    let error = json::parse(text.as_bytes()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 3));
}

#[test]
fn unsigned_integers_are_never_wrapped() {
    let bytes = rmp_serde::to_vec(&u64::MAX).unwrap();
    assert!(rmp_serde::from_slice::<Value>(&bytes).is_err());
    assert!(rmp_serde::from_slice::<DocumentId>(&bytes).is_err());
    assert!(Value::from_json(serde_json::json!(u64::MAX)).is_err());
}

#[test]
fn large_numbers_with_an_exponent_or_point_are_doubles() {
    for (text, number) in [
        ("1e30", 1e30),
        ("12345678901234567890.0", 12_345_678_901_234_567_890.0),
        ("12345678901234567890E2", 1.234_567_890_123_456_8e21),
    ] {
        assert_eq!(value(text), Value::Double(number));
    }
}

#[test]
fn broken_json_is_refused_with_its_place() {
    let cases = [
        ("", "EOF"),
        ("{\"a\":1}}", "trailing characters"),
        ("1 2", "trailing characters"),
        ("{'a':1}", "line 1 column 2"),
        ("[1,]", "trailing comma"),
        ("1e999", "out of range"),
        ("nan", "line 1"),
        ("{\"a\":1,\"a\":2}", "`a` appears twice"),
        ("\"\\ud800\"", "line 1"),
    ];
    for (text, expected) in cases {
        assert!(reason(text).contains(expected), "{text}: {}", reason(text));
    }
    assert!(json::parse(b"\"\xff\"").is_err());
}

#[test]
fn deep_nesting_is_refused_without_overflowing_the_stack() {
    for levels in [81, 127, 128, 100_000] {
        let text = "[".repeat(levels) + &"]".repeat(levels);
        assert!(reason(&text).contains("levels of nesting"), "{}", reason(&text));
        let text = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        assert!(reason(&text).contains("levels of nesting"), "{}", reason(&text));
    }
    let bytes: Vec<u8> = std::iter::repeat_n(0x91, 100_000).collect();
    assert!(rmp_serde::from_slice::<Value>(&bytes).is_err());
}

#[test]
fn a_document_is_valid_up_to_its_limits_and_not_beyond() {
    let with = |value: Value| Document::from_iter([("a".to_owned(), value)]);
    assert_eq!(with(nested(MAX_DEPTH - 1)).validate(), Ok(()));
    let error = with(nested(MAX_DEPTH)).validate().unwrap_err();
    assert_eq!(error.reason, InvalidReason::TooDeep);

    let room = MAX_DOCUMENT_BYTES - with(Value::from("")).encoded_size();
    assert_eq!(with(Value::from("x".repeat(room))).validate(), Ok(()));
    let error = with(Value::from("x".repeat(room + 1))).validate().unwrap_err();
    assert_eq!(error.reason, InvalidReason::TooLarge { size: MAX_DOCUMENT_BYTES + 1 });
}

#[test]
fn an_invalid_document_names_the_place() {
    let cases = [
        (r#"{"":1}"#, "documents[0]: the name of a field is empty"),
        (r#"{"a":{"b.c":1}}"#, "documents[0].a: the name `b.c` holds a dot"),
        (r#"{"a":[0,{"$b":1}]}"#, "documents[0].a[1]: the name `$b` starts with `$`"),
        (r#"{"a":{"b\u0000":1}}"#, "documents[0].a: the name of a field holds a NUL character"),
        (r#"{"_id":null}"#, "documents[0]._id: must be a string or an integer, not null"),
        (r#"{"_id":1.0}"#, "documents[0]._id: must be a string or an integer, not a double"),
        (r#"{"_id":[1]}"#, "documents[0]._id: must be a string or an integer, not an array"),
    ];
    for (text, expected) in cases {
        let error = document(text).validate().unwrap_err().within("documents[0]");
        assert_eq!(error.to_string(), expected);
    }
    let infinite = Document::from_iter([("a".to_owned(), Value::from(vec![f64::INFINITY]))]);
    assert_eq!(infinite.validate().unwrap_err().to_string(), "a[0]: is not a finite number");
    for text in ["{}", r#"{"_id":""}"#, r#"{"_id":-1,"a$":{"_id":null}}"#] {
        assert_eq!(document(text).validate(), Ok(()), "{text}");
    }
}

#[test]
fn the_size_of_a_document_is_that_of_its_json_within_a_few_bytes() {
    for text in [
        "{}",
        r#"{"a":-120,"b":[1,2,3],"c":{"d":null,"e":true}}"#,
        r#"{"name":"ann","rides":[{"id":1234567},{"id":0}],"x":0.1234567890123456}"#,
    ] {
        let document = document(text);
        let exact = serde_json::to_vec(&document).unwrap().len();
        let estimate = document.encoded_size();
        assert!((exact..=exact + 8).contains(&estimate), "{text}: {exact} and {estimate}");
    }
}

#[test]
fn the_key_of_a_document_comes_first() {
    let mut document = document(r#"{"a":1,"_id":2,"b":3}"#);
    assert_eq!(document.id(), Some(DocumentId::Integer(2)));
    document.set_id("x".into());
    assert_eq!(document.keys().collect::<Vec<_>>(), ["_id", "a", "b"]);
    assert_eq!(document.remove("a"), Some(Value::Integer(1)));
    assert_eq!(document.keys().collect::<Vec<_>>(), ["_id", "b"]);
    assert_eq!(Document::new().with_id(1.into()).id(), Some(DocumentId::Integer(1)));
}

#[test]
fn keys_are_plain_data_and_ordered_like_values() {
    let ascending: [DocumentId; 5] =
        [(-1).into(), 7.into(), i64::MAX.into(), "".into(), "a".into()];
    for pair in ascending.windows(2) {
        assert!(pair[0] < pair[1]);
        assert!(Value::from(pair[0].clone()).compare(&pair[1].clone().into()).is_lt());
    }
    for id in ascending {
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<DocumentId>(&text).unwrap(), id);
        let bytes = rmp_serde::to_vec(&id).unwrap();
        assert_eq!(rmp_serde::from_slice::<DocumentId>(&bytes).unwrap(), id);
    }
    for text in ["null", "1.0", "[1]", "true", "9223372036854775808"] {
        assert!(serde_json::from_str::<DocumentId>(text).is_err(), "{text}");
    }
}

#[test]
fn a_collection_has_a_plain_name() {
    for name in ["a", "Users", "ride-log_2", &"x".repeat(64)] {
        assert_eq!(CollectionName::parse(name).unwrap().as_str(), name);
    }
    for name in ["", "1a", "_a", "-a", "a.b", "a b", "é", "aé", "$a", "a\0", &"x".repeat(65)] {
        assert!(CollectionName::parse(name).is_err(), "{name}");
        let text = serde_json::to_string(name).unwrap();
        assert!(serde_json::from_str::<CollectionName>(&text).is_err(), "{name}");
    }
}

#[test]
fn a_path_has_parts_that_a_field_could_be_named() {
    let path = FieldPath::parse("a.b.0").unwrap();
    assert_eq!(path.parts(), ["a", "b", "0"]);
    assert!(FieldPath::parse("a").unwrap().covers(&path));
    assert!(!FieldPath::parse("a.b.0.c").unwrap().covers(&path));
    assert!(!FieldPath::parse("a.b.00").unwrap().covers(&path));
    let deep = "a.".repeat(MAX_DEPTH) + "a";
    let indexes = ["0"; 17].join(".");
    for text in ["", ".", "a.", ".a", "a..b", "$a", "a.$", "a.$[]", "a\0", &deep, &indexes] {
        assert!(FieldPath::parse(text).is_err(), "{text}");
    }
}

#[test]
fn json_trees_go_in_and_out() {
    let tree = serde_json::json!({"a": [1, 1.5, null, true, "x"], "b": {}});
    let value = Value::from_json(tree.clone()).unwrap();
    assert_eq!(serde_json::Value::from(&value), tree);
}

#[test]
fn fields_are_given_all_at_once_or_added_in_their_order() {
    let mut document = Document::from([("b", Value::Integer(1)), ("a", Value::Null)]);
    assert_eq!(document, self::document(r#"{"b":1,"a":null}"#));
    document.extend([("c".to_owned(), Value::Bool(true)), ("b".to_owned(), Value::Integer(2))]);
    assert_eq!(document.keys().collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(document, self::document(r#"{"b":2,"a":null,"c":true}"#));
}

/// MessagePack, unlike JSON, also has what no value of ours is.
#[test]
fn other_data_is_refused_with_what_was_expected() {
    let bytes = rmp_serde::to_vec(&serde_json::json!([null])).unwrap();
    assert_eq!(
        rmp_serde::from_slice::<Value>(&bytes).unwrap(),
        Value::Array(vec![Value::Null]),
        "null is a value"
    );
    let binary = [0xc4, 1, 0];
    let refused = rmp_serde::from_slice::<Value>(&binary).unwrap_err().to_string();
    assert!(refused.contains("null, a boolean, a number"), "{refused}");
    let refused = rmp_serde::from_slice::<Document>(&[1]).unwrap_err().to_string();
    assert!(refused.contains("an object"), "{refused}");
}

/// What picks one of several equal values must pick the same one wherever it is asked.
#[test]
fn equal_values_are_told_apart_by_how_they_are_written() {
    for (first, second) in [
        ("1", "1.0"),
        ("-0.0", "0.0"),
        ("[1]", "[1.0]"),
        ("[1,2,3.0]", "[1,2.0,3]"),
        (r#"{"a":1}"#, r#"{"a":1.0}"#),
        (r#"{"a":{"b":[0]}}"#, r#"{"a":{"b":[0.0]}}"#),
    ] {
        let (first, second) = (value(first), value(second));
        assert!(Ordered(&first) == Ordered(&second), "{first:?} equals {second:?}");
        assert_eq!(Ordered(&first).partial_cmp(&Ordered(&second)), Some(Ordering::Equal));
        assert_eq!(first.compare_representation(&second), Ordering::Less, "{first:?}, {second:?}");
        assert_eq!(second.compare_representation(&first), Ordering::Greater);
        assert_eq!(first.compare_representation(&first.clone()), Ordering::Equal);
    }
    assert!(Ordered(&value("1")) != Ordered(&value("2")));
    assert_eq!(Ordered(&value("1")).partial_cmp(&Ordered(&value("2.0"))), Some(Ordering::Less));
    assert!(value("1").is_comparable_with(&value("2.5")));
    assert!(!value("1").is_comparable_with(&value(r#""1""#)));
}

#[test]
fn every_value_is_charged_for_what_its_json_takes() {
    for (text, bytes) in [
        ("null", 4),
        ("false", 5),
        ("0", 1),
        ("-1", 2),
        ("10", 2),
        ("-9223372036854775808", 20),
        ("0.5", 20),
        (r#""abc""#, 5),
        ("[]", 2),
        ("[1,22]", 2 + 2 + 3),
        ("{}", 2),
        (r#"{"a":1,"bc":"d"}"#, 2 + (1 + 4 + 1) + (2 + 4 + 3)),
    ] {
        assert_eq!(value(text).encoded_size(), bytes, "{text}");
    }
}

#[test]
fn names_keys_and_paths_are_shown_as_they_were_given() {
    let name = CollectionName::parse("Users").unwrap();
    assert_eq!((name.to_string().as_str(), name.as_ref()), ("Users", "Users"));
    assert_eq!(DocumentId::from("ann").to_string(), "ann");
    assert_eq!(DocumentId::from(-7).to_string(), "-7");
    assert_eq!(FieldPath::parse("a.0.b").unwrap().to_string(), "a.0.b");
    assert_eq!(value(r#""ann""#).as_str(), Some("ann"));
    assert_eq!(value("1").as_str(), None);
    let refused = serde_json::from_str::<DocumentId>("true").unwrap_err().to_string();
    assert!(refused.contains("a string or a 64-bit signed integer"), "{refused}");
}

#[test]
fn what_becomes_a_part_of_a_document_has_the_depth_that_is_left() {
    assert_eq!(limits::validate_value(&nested(MAX_DEPTH - 1)), Ok(()));
    let error = limits::validate_value(&nested(MAX_DEPTH)).unwrap_err();
    assert_eq!(error.reason, InvalidReason::TooDeep);
    assert!(FieldPath::parse(&["a"; MAX_DEPTH].join(".")).is_ok());
    assert_eq!(FieldPath::parse(&["a"; MAX_DEPTH + 1].join(".")), Err(InvalidPath::TooDeep));
    assert!(FieldPath::parse(&["1"; 16].join(".")).is_ok());
    assert_eq!(FieldPath::parse(&["1"; 17].join(".")), Err(InvalidPath::TooManyIndexes));
}

#[test]
fn what_is_wrong_within_a_document_is_told_from_outside() {
    for (path, place, expected) in
        [("a", "b", "b.a"), ("[1]", "b", "b[1]"), ("a", "", "a"), ("", "b", "b"), ("", "", "")]
    {
        let error = InvalidDocument { path: path.to_owned(), reason: InvalidReason::EmptyName };
        assert_eq!(error.within(place).path, expected, "{path} within {place}");
    }
}
