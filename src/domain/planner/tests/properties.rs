//! Planned in groups, requests come to what they come to one at a time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::model::Store;
use super::*;

fn id() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![(0..4_i64).prop_map(|id| json!(id)), Just(json!("x"))]
}

fn any_filter() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(json!({})),
        id().prop_map(|id| json!({"_id": id})),
        (id(), id()).prop_map(|(a, b)| json!({"_id": {"$in": [a, b]}})),
        (id(), 0..3).prop_map(|(id, n)| json!({"_id": id, "n": n})),
        (0..3).prop_map(|n| json!({"n": n})),
        (0..3).prop_map(|n| json!({"n": {"$gt": n}})),
        id().prop_map(|id| json!({"_id": {"$gt": id}})),
        (0..3).prop_map(|n| json!({"$or": [{"n": n}, {"_id": 1}]})),
    ]
}

fn any_update() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        (0..3).prop_map(|n| json!({"$set": {"n": n}})),
        Just(json!({"$inc": {"n": 1}})),
        Just(json!({"$inc": {"s": 1}})),
        Just(json!({"$unset": {"n": 1}})),
        (0..2).prop_map(|element| json!({"$addToSet": {"s": element}})),
        id().prop_map(|id| json!({"$set": {"_id": id}})),
    ]
}

fn any_document() -> impl Strategy<Value = serde_json::Value> {
    (id(), 0..3).prop_map(|(id, n)| json!({"_id": id, "n": n}))
}

fn plain_operation() -> impl Strategy<Value = WriteOperation> {
    let options = prop::sample::subsequence(vec!["many", "upsert", "before", "after"], 0..3)
        .prop_map(|options| options.join(" "));
    prop_oneof![
        2 => prop::collection::vec(any_document(), 1..3).prop_map(|documents| insert(&documents)),
        4 => (any_filter(), any_update(), options)
            .prop_map(|(of, how, options)| update(of, how, &options)),
        1 => (any_document(), any::<bool>()).prop_map(|(document, upsert)| replace(document, upsert)),
        2 => (any_filter(), any::<bool>()).prop_map(|(of, many)| delete(of, many)),
    ]
}

fn any_operation() -> impl Strategy<Value = WriteOperation> {
    let index = WriteOperation::EnsureIndex { collection: collection("c"), field: "n".to_owned() };
    prop_oneof![
        10 => plain_operation(),
        4 => prop::collection::vec(plain_operation(), 1..6).prop_map(batch),
        1 => Just(clear()),
        1 => Just(index),
    ]
}

/// Requests of which some repeat the id of another one.
fn any_requests() -> impl Strategy<Value = Vec<WriteRequest>> {
    prop::collection::vec((any_operation(), 0..40_usize), 1..16).prop_map(|drawn| {
        let named = drawn.into_iter().enumerate().map(|(index, (operation, repeated))| {
            request(&format!("r{}", if repeated < index { repeated } else { index }), operation)
        });
        named.collect()
    })
}

fn any_store() -> impl Strategy<Value = Store> {
    prop::collection::vec(any_document(), 0..6).prop_map(|documents| Store::with(&documents))
}

/// One at a time, each id once.
fn carry_out_naively(mut store: Store, requests: &[WriteRequest]) -> (Store, Vec<Outcome>) {
    let mut known: HashMap<&RequestId, Outcome> = HashMap::new();
    let outcomes = requests.iter().map(|request| {
        let carry_out = || store.carry_out(&request.operation);
        known.entry(&request.id).or_insert_with(carry_out).clone()
    });
    let outcomes = outcomes.collect();
    (store, outcomes)
}

/// In groups whose size `next_group` says, as the master does.
fn carry_out_planned(
    mut store: Store,
    requests: &[WriteRequest],
    mut next_group: impl FnMut(&[&WriteRequest]) -> usize,
) -> (Store, Vec<Outcome>, Vec<Entry>) {
    let requests: Vec<&WriteRequest> = requests.iter().collect();
    let mut rest = requests.as_slice();
    let mut window = DuplicateWindow::starting_at(Offset(0));
    let (mut outcomes, mut log) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let group = &rest[..next_group(rest)];
        let needs = needs(group);
        let plan = plan(group, store.view(&needs), &window);
        assert_eq!(
            plan.entries,
            super::super::plan(group, store.view(&needs), &window).entries,
            "a plan depends on its arguments alone"
        );
        assert!(!plan.answers.is_empty());
        let offset = Offset(log.len() as u64);
        store.apply(plan.entries.iter().flat_map(|entry| &entry.changes));
        window.record(offset, &plan.entries);
        rest = &rest[plan.answers.len()..];
        let told = plan.answers.into_iter().map(|answer| answer.resolve(offset, &plan.entries));
        outcomes.extend(told.map(|recorded| recorded.outcome));
        log.extend(plan.entries);
    }
    (store, outcomes, log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn groups_come_to_the_same_as_one_request_at_a_time(
        store in any_store(),
        requests in any_requests(),
        sizes in prop::collection::vec(1..8_usize, 1..6),
    ) {
        let (expected_store, expected) = carry_out_naively(store.clone(), &requests);
        let (end, outcomes, log) = carry_out_planned(store.clone(), &requests, together);
        prop_assert_eq!(&outcomes, &expected);
        prop_assert_eq!(&end, &expected_store);

        let mut sizes = sizes.iter().cycle();
        let any_size = |rest: &[&WriteRequest]| (*sizes.next().unwrap_or(&1)).min(rest.len());
        let (end, outcomes, _) = carry_out_planned(store.clone(), &requests, any_size);
        prop_assert_eq!(&outcomes, &expected);
        prop_assert_eq!(&end, &expected_store);

        let mut replayed = store;
        for from in [0, log.len() / 2, 0] {
            replayed.apply(log[from..].iter().flat_map(|entry| &entry.changes));
            prop_assert_eq!(&replayed, &expected_store, "replayed from entry {}", from);
        }
        for entry in &log {
            prop_assert!(entry.changes.is_empty() || !matches!(entry.outcome, Outcome::Refused(_)));
        }
    }
}
