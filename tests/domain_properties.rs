//! What holds for every value, filter, update and query.

#[path = "support/generators.rs"]
mod generators;

use std::cmp::Ordering;

use generators as any_of;
use proptest::prelude::*;
use rideshare::domain::document::{Document, FieldPath, Value, json};
use rideshare::domain::filter::Filter;
use rideshare::domain::query::{Query, compare_by, distinct, evaluate, project};

/// A filter made of others.
fn combine(operator: &str, filters: &[&Filter]) -> Filter {
    let sources = filters.iter().map(|filter| filter.source().clone()).collect();
    parse(&any_of::single(operator, Value::Array(sources)))
}

fn parse(source: &Value) -> Filter {
    Filter::parse(source).unwrap_or_else(|error| panic!("{source:?}: {error}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comparison_is_a_total_order(
        a in any_of::wide_value(), b in any_of::wide_value(), c in any_of::wide_value(),
    ) {
        prop_assert_eq!(a.compare(&a), Ordering::Equal);
        prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
        let mut sorted = [&a, &b, &c];
        sorted.sort_by(|a, b| a.compare(b));
        prop_assert!(sorted[0].compare(sorted[2]).is_le());
        if a.equals(&b) {
            prop_assert_eq!(a.compare(&c), b.compare(&c));
        }
    }

    #[test]
    fn integers_near_a_double_compare_exactly(integer in any::<i64>(), step in -2_i64..=2) {
        let double = integer as f64;
        let exact = (i128::from(integer) + i128::from(step)).cmp(&(double as i128));
        let moved = integer.saturating_add(step);
        if i128::from(moved) == i128::from(integer) + i128::from(step) {
            prop_assert_eq!(Value::Integer(moved).compare(&Value::Double(double)), exact);
        }
    }

    #[test]
    fn values_survive_json(value in any_of::wide_value()) {
        let text = serde_json::to_vec(&value).expect("values serialise");
        prop_assert_eq!(json::parse(&text), Ok(value));
    }

    #[test]
    fn values_survive_messagepack(value in any_of::wide_value()) {
        let bytes = rmp_serde::to_vec(&value).expect("values serialise");
        prop_assert_eq!(rmp_serde::from_slice::<Value>(&bytes).ok(), Some(value));
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = json::parse(&bytes) {
            let _ = Filter::parse(&value);
        }
    }

    #[test]
    fn any_value_is_a_filter_or_is_refused(value in any_of::wide_value(), document in any_of::document()) {
        if let Ok(filter) = Filter::parse(&value) {
            let _ = filter.matches(&document);
        }
    }

    #[test]
    fn logic_combines_what_its_parts_say(
        a in any_of::filter(), b in any_of::filter(), document in any_of::document(),
    ) {
        let (in_a, in_b) = (a.matches(&document), b.matches(&document));
        prop_assert_eq!(combine("$and", &[&a, &b]).matches(&document), in_a && in_b);
        prop_assert_eq!(combine("$or", &[&a, &b]).matches(&document), in_a || in_b);
        prop_assert_eq!(combine("$nor", &[&a, &b]).matches(&document), !in_a && !in_b);
        prop_assert_eq!(combine("$nor", &[&a]).matches(&document), !in_a);
    }

    #[test]
    fn not_negates(path in any_of::path(), operators in any_of::operators(), document in any_of::document()) {
        let negated = any_of::single("$not", operators.clone());
        let plain = parse(&any_of::single(&path, operators));
        let negated = parse(&any_of::single(&path, negated));
        prop_assert_ne!(plain.matches(&document), negated.matches(&document));
    }

    #[test]
    fn negated_operators_are_negations(
        path in any_of::path(), operand in any_of::value(), document in any_of::document(),
    ) {
        let list = Value::Array(vec![operand.clone()]);
        for (operator, opposite, operand) in [("$eq", "$ne", operand), ("$in", "$nin", list)] {
            let [is, is_not] = [operator, opposite].map(|name| {
                parse(&any_of::single(&path, any_of::single(name, operand.clone()))).matches(&document)
            });
            prop_assert_ne!(is, is_not);
        }
    }

    #[test]
    fn a_matching_document_has_a_pinned_key(filter in any_of::filter(), document in any_of::document()) {
        if let (Some(ids), true) = (filter.ids(), filter.matches(&document)) {
            prop_assert!(ids.contains(&document.id().expect("generated with a key")));
        }
    }

    #[test]
    fn filters_and_updates_survive_messagepack(filter in any_of::filter(), update in any_of::update()) {
        let bytes = rmp_serde::to_vec(&(&filter, &update)).expect("they serialise");
        prop_assert_eq!(rmp_serde::from_slice(&bytes).ok(), Some((filter, update)));
    }

    #[test]
    fn an_update_yields_a_valid_document_of_the_same_key_or_none(
        update in any_of::update(), document in any_of::document(),
    ) {
        if let Ok(updated) = update.apply(&document) {
            prop_assert_eq!(updated.validate(), Ok(()));
            prop_assert_eq!(updated.id(), document.id());
        }
    }

    #[test]
    fn an_upsert_yields_a_valid_document_with_a_key_or_none(
        update in any_of::update(), filter in any_of::filter(), id in any_of::id(),
    ) {
        if let Ok(inserted) = update.upsert(&filter, id) {
            prop_assert_eq!(inserted.validate(), Ok(()));
            prop_assert!(inserted.id().is_some());
            prop_assert_eq!(inserted.keys().next(), Some("_id"));
        }
    }

    #[test]
    fn setting_again_changes_nothing(
        set in any_of::update_by("$set", any_of::value()),
        unset in any_of::update_by("$unset", any_of::scalar()),
        add in any_of::update_by("$addToSet", any_of::value()),
        min in any_of::update_by("$min", any_of::value()),
        max in any_of::update_by("$max", any_of::value()),
        pull in any_of::update_by("$pull", any_of::value()),
        document in any_of::document(),
    ) {
        for update in [set, unset, add, min, max, pull] {
            if let Ok(once) = update.apply(&document) {
                prop_assert_eq!(update.apply(&once), Ok(once));
            }
        }
    }

    #[test]
    fn a_set_value_is_found_again(path in any_of::path(), value in any_of::value(), document in any_of::document()) {
        let update = any_of::single("$set", any_of::single(&path, value.clone()));
        let update = rideshare::domain::update::Update::parse(&update).expect("a path and a value");
        if let Ok(updated) = update.apply(&document) {
            let equal = any_of::single(&path, any_of::single("$eq", value));
            prop_assert!(parse(&equal).matches(&updated), "{:?}", updated);
        }
    }

    #[test]
    fn the_order_of_documents_is_total_and_the_same_from_any_start(
        sort in any_of::sort(), documents in any_of::documents(8),
    ) {
        let mut forward = documents.clone();
        forward.sort_by(|a, b| compare_by(&sort, a, b));
        let mut backward: Vec<Document> = documents.into_iter().rev().collect();
        backward.sort_by(|a, b| compare_by(&sort, a, b));
        prop_assert_eq!(&forward, &backward);
        for pair in forward.windows(2) {
            prop_assert!(compare_by(&sort, &pair[0], &pair[1]).is_lt());
        }
    }

    #[test]
    fn pages_of_a_query_are_the_whole_of_it(
        filter in any_of::filter(), sort in any_of::sort(), documents in any_of::documents(8), size in 1_u64..=3,
    ) {
        let name = rideshare::domain::document::CollectionName::parse("c").expect("a name");
        let whole = Query { filter, sort, ..Query::all(name) };
        let pages = (0..8).flat_map(|page| {
            evaluate(&Query { skip: page * size, limit: Some(size), ..whole.clone() }, &documents)
        });
        prop_assert_eq!(pages.collect::<Vec<_>>(), evaluate(&whole, &documents));
    }

    #[test]
    fn a_projection_is_a_part_and_projecting_it_again_changes_nothing(
        paths in proptest::collection::vec(any_of::path(), 0..=3), document in any_of::document(),
    ) {
        let projected = project(&document, &paths);
        prop_assert_eq!(project(&projected, &paths), projected.clone());
        prop_assert_eq!(projected.id(), document.id());
        prop_assert!(projected.encoded_size() <= document.encoded_size());
    }

    #[test]
    fn distinct_values_are_those_that_filters_find(
        name in any_of::name(), documents in any_of::documents(6),
    ) {
        let values = distinct(&documents, &name);
        for pair in values.windows(2) {
            prop_assert!(pair[0].compare(&pair[1]).is_lt());
        }
        for value in values {
            let equal = parse(&any_of::single(&name, any_of::single("$eq", value)));
            prop_assert!(documents.iter().any(|document| equal.matches(document)));
        }
    }

    #[test]
    fn a_path_covers_what_starts_with_it(a in any_of::path(), b in any_of::path()) {
        let [path_a, path_b] = [&a, &b].map(|text| FieldPath::parse(text).expect("a path"));
        let starts = b == a || b.starts_with(&format!("{a}."));
        prop_assert_eq!(path_a.covers(&path_b), starts);
    }
}
