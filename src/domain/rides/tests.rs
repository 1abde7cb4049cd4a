use serde_json::{Value as Json, json};

use super::*;

const SHA1: &str = "3d725109c7e7c0bfb9d709836735b56d943d263f";

fn value(json: Json) -> Value {
    Value::from_json(json).expect("a value")
}

fn areas() -> Areas {
    Areas::bangalore().expect("the list is valid")
}

#[test]
fn there_are_198_wards_from_kempegowda_to_hemmigepura() {
    let areas = areas();
    assert_eq!(areas.len(), 198);
    assert!(!areas.is_empty());
    assert_eq!(areas.name(1), Some("Kempegowda Ward"));
    assert_eq!(areas.name(198), Some("Hemmigepura"));
    assert!((1..=198).all(|number| areas.name(number).is_some()));
    assert_eq!((areas.name(0), areas.name(199)), (None, None));
}

#[test]
fn username_is_what_stands_in_its_field() {
    assert_eq!(parse_username(&value(json!({ "username": "ann" }))), Ok("ann".to_owned()));
    for wrong in [json!({}), json!({ "username": "" }), json!({ "username": 1 }), json!(["ann"])] {
        assert!(parse_username(&value(wrong.clone())).is_err(), "{wrong}");
    }
}

#[test]
fn list_of_areas_that_is_wrong_says_where() {
    let table = [
        ("", 1, "there are no areas"),
        ("Area No,Area Name\n", 1, "there are no areas"),
        ("h\n1\n", 2, "expected number,name"),
        ("h\n1,a\nx,b\n", 3, "the number is none"),
        ("h\n-1,b\n", 2, "the number is none"),
        ("h\n1,a\n\n1,b\n", 4, "the number stands there twice"),
        ("h\n1, \n", 2, "the name is missing"),
    ];
    for (text, line, reason) in table {
        assert_eq!(Areas::parse(text), Err(InvalidAreas { line, reason }), "{text:?}");
    }
    let good = Areas::parse("h\r\n7,\"A, B\"\r\n\r\n").expect("valid");
    assert_eq!((good.len(), good.name(7)), (1, Some("A, B")));
}

#[test]
fn sha1_is_forty_hexadecimal_digits_of_any_case() {
    let upper = SHA1.to_uppercase();
    let good = [SHA1, &upper, "3D725109c7e7c0bfb9d709836735b56d943d263f"];
    assert!(good.iter().all(|text| is_sha1(text)));
    let (short, long) = (&SHA1[1..], format!("{SHA1}0"));
    let foreign = "３".repeat(40);
    let letters = "g".repeat(40);
    let spaced = format!(" {short}");
    let signed = format!("+{short}");
    let bad = ["", short, &long, &foreign, &letters, &spaced, &signed, "０１２３４５６７８９abc½"];
    assert!(bad.iter().all(|text| !is_sha1(text)));
}

#[test]
fn user_needs_a_name_and_a_sha1() {
    let user = NewUser::parse(&value(json!({ "username": "a", "password": SHA1, "more": 1 })));
    assert!(user.is_ok_and(|user| user.username == "a" && user.password == SHA1));
    let table = [
        (json!([]), "body"),
        (json!("a"), "body"),
        (json!(null), "body"),
        (json!({}), "username"),
        (json!({ "username": "", "password": SHA1 }), "username"),
        (json!({ "username": null, "password": SHA1 }), "username"),
        (json!({ "username": 7, "password": SHA1 }), "username"),
        (json!({ "username": ["a"], "password": SHA1 }), "username"),
        (json!({ "username": "a" }), "password"),
        (json!({ "username": "a", "password": 7 }), "password"),
        (json!({ "username": "a", "password": "secret" }), "password"),
    ];
    for (body, place) in table {
        let error = NewUser::parse(&value(body.clone())).err();
        assert_eq!(error.map(|error| error.place).as_deref(), Some(place), "{body}");
    }
}

fn ride(source: Json, destination: Json) -> Json {
    json!({
        "created_by": "a", "timestamp": "21-03-2030:59-05-23",
        "source": source, "destination": destination,
    })
}

#[test]
fn areas_are_integers_or_strings_of_digits() {
    let expected = NewRide {
        created_by: "a".to_owned(),
        timestamp: "2030-03-21T23:05:59".to_owned(),
        source: 1,
        destination: 198,
    };
    for body in [ride(json!(1), json!(198)), ride(json!("1"), json!("198"))] {
        assert_eq!(NewRide::parse(&value(body), &areas()).as_ref(), Ok(&expected));
    }
}

#[test]
fn ride_that_is_wrong_names_the_field() {
    let with = |name: &str, wrong: Json| {
        let mut body = ride(json!(1), json!(2));
        body[name] = wrong;
        (body, name.to_owned())
    };
    let mut table: Vec<_> = ["created_by", "timestamp", "source", "destination"]
        .into_iter()
        .flat_map(|name| {
            [json!(null), json!(""), json!(1.5), json!({}), json!([1])].map(|it| (name, it))
        })
        .map(|(name, wrong)| with(name, wrong))
        .collect();
    for wrong in [json!(0), json!(199), json!(-1), json!("0"), json!("199"), json!("-1")] {
        table.push(with("source", wrong.clone()));
        table.push(with("destination", wrong));
    }
    for wrong in ["+1", " 1", "1 ", "1.0", "1e1", "x", "١", "99999999999999999999"] {
        table.push(with("source", json!(wrong)));
    }
    table.push(with("destination", json!(1)));
    table.push(with("destination", json!("1")));
    table.push(with("timestamp", json!("31-02-2030:00-00-00")));
    table.push(with("timestamp", json!("01-01-2030:60-00-00")));
    for (body, place) in table {
        let error = NewRide::parse(&value(body.clone()), &areas()).err();
        assert_eq!(error.map(|error| error.place), Some(place), "{body}");
    }
    for name in ["created_by", "timestamp", "source", "destination"] {
        let mut body = ride(json!(1), json!(2));
        body.as_object_mut().expect("an object").remove(name);
        let error = NewRide::parse(&value(body), &areas()).expect_err("a field is missing");
        assert_eq!(error.to_string(), format!("{name}: is missing"));
    }
}

#[test]
fn ride_id_is_any_integer() {
    let huge = format!("1{}", "0".repeat(30));
    let integers = [("1", Some(1)), ("0", Some(0)), ("-1", Some(-1)), ("007", Some(7))];
    for (text, id) in integers {
        assert_eq!(parse_ride_id(text), Ok(id), "{text}");
    }
    assert_eq!(parse_ride_id(&huge), Ok(None));
    for text in ["", "-", "1.5", "1e3", "+1", " 1", "1 ", "x", "0x1", "١", "--1", "10^30"] {
        assert!(parse_ride_id(text).is_err(), "{text:?}");
    }
}
