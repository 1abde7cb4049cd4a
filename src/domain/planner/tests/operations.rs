//! Every outcome, and what one request leaves for the next.

use super::model::Store;
use super::*;

const NOBODY_KNOWN: fn() -> DuplicateWindow = || DuplicateWindow::starting_at(Offset(0));

/// Plans all operations at once, as requests of their own.
fn planned(stored: &[serde_json::Value], operations: &[WriteOperation]) -> Vec<Entry> {
    let requests: Vec<WriteRequest> = operations
        .iter()
        .enumerate()
        .map(|(index, operation)| request(&format!("r{index}"), operation.clone()))
        .collect();
    let requests: Vec<&WriteRequest> = requests.iter().collect();
    let view = Store::with(stored).view(&needs(&requests));
    let plan = plan(&requests, view, &NOBODY_KNOWN());
    assert_eq!(plan.answers, (0..requests.len()).map(Answer::Planned).collect::<Vec<_>>());
    plan.entries
}

#[track_caller]
fn assert_plan(
    stored: &[serde_json::Value],
    operation: WriteOperation,
    outcome: &Outcome,
    changes: &[Change],
) {
    let entries = planned(stored, std::slice::from_ref(&operation));
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0].outcome, entries[0].changes.as_slice()), (outcome, changes));
}

fn unfit_detail(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(Refusal::Unfit { detail }) => detail,
        other => panic!("{other:?} is not unfit"),
    }
}

#[test]
fn scan_for_one_document_fetches_as_many_more_as_may_have_changed_before() {
    let one = || delete(json!({ "a": 1 }), false);
    let limits = |operations: Vec<WriteOperation>| -> Vec<Option<u64>> {
        let needs = needs::needs(&[&request("r", batch(operations))]);
        needs.scans.iter().map(|scan| scan.limit).collect()
    };
    assert_eq!(limits(vec![one(), one()]), [Some(1), Some(2)]);
    assert_eq!(limits(vec![insert(&[json!({ "_id": 1 })]), one()]), [Some(2)]);
    let many = delete(json!({ "a": 2 }), true);
    assert_eq!(limits(vec![one(), many, one()]), [Some(1), None, None]);
}

/// The writer of the log relies on it.
#[test]
fn change_takes_no_more_in_the_log_than_it_was_charged_for() {
    use super::super::operations::change_size;
    for id in [json!(1), json!(i64::MIN), json!("k"), json!("k".repeat(300)), json!("")] {
        let change = put(json!({ "_id": id, "n": 1.5, "text": "some text" }));
        let Change::Put { collection, id, document } = &change else { panic!("a put") };
        let charged = change_size(collection, id) + document.encoded_size();
        let taken = crate::domain::message::encode(&change).len();
        assert!(taken <= charged, "{id:?}: {taken} of {charged}");
    }
}

#[test]
fn insert_puts_every_document_or_none() {
    assert_plan(
        &[],
        insert(&[json!({"_id": 1, "a": 1}), json!({"_id": 2})]),
        &inserted(&[1, 2]),
        &[put(json!({"_id": 1, "a": 1})), put(json!({"_id": 2}))],
    );
    assert_plan(
        &[json!({"_id": 2}), json!({"_id": 3})],
        insert(&[json!({"_id": 1}), json!({"_id": 2}), json!({"_id": 3})]),
        &Outcome::Refused(conflict(&[2, 3])),
        &[],
    );
    assert_plan(
        &[],
        insert(&[json!({"_id": 1}), json!({"_id": 1})]),
        &Outcome::Refused(conflict(&[1])),
        &[],
    );
}

#[test]
fn update_changes_the_first_match_by_id_or_all() {
    let stored =
        [json!({"_id": "a", "n": 1}), json!({"_id": 9, "n": 1}), json!({"_id": 5, "n": 2})];
    let how = json!({"$inc": {"n": 1}});
    assert_plan(
        &stored,
        update(json!({"n": 1}), how.clone(), ""),
        &updated(1, 1, &[]),
        &[put(json!({"_id": 9, "n": 2}))],
    );
    assert_plan(
        &stored,
        update(json!({"n": 1}), how.clone(), "many before"),
        &updated(2, 2, &[json!({"_id": 9, "n": 1}), json!({"_id": "a", "n": 1})]),
        &[put(json!({"_id": 9, "n": 2})), put(json!({"_id": "a", "n": 2}))],
    );
    assert_plan(
        &stored,
        update(json!({"_id": {"$in": ["a", 5, 7]}}), how.clone(), "many after"),
        &updated(2, 2, &[json!({"_id": 5, "n": 3}), json!({"_id": "a", "n": 2})]),
        &[put(json!({"_id": 5, "n": 3})), put(json!({"_id": "a", "n": 2}))],
    );
    assert_plan(&stored, update(json!({"_id": 5, "n": 1}), how, "many"), &updated(0, 0, &[]), &[]);
}

#[test]
fn update_that_alters_nothing_matches_and_changes_nothing() {
    assert_plan(
        &[json!({"_id": 1, "n": 1})],
        update(json!({"_id": 1}), json!({"$set": {"n": 1}}), "after"),
        &updated(1, 0, &[json!({"_id": 1, "n": 1})]),
        &[],
    );
}

#[test]
fn update_that_does_not_fit_one_document_changes_none() {
    let stored = [json!({"_id": 1, "n": 1}), json!({"_id": 2, "n": "x"})];
    let entries = planned(&stored, &[update(json!({}), json!({"$inc": {"n": 1}}), "many")]);
    assert!(unfit_detail(&entries[0].outcome).contains("`$inc`"));
    assert_eq!(entries[0].changes, []);
    let entries = planned(&stored, &[update(json!({"_id": 1}), json!({"$set": {"_id": 2}}), "")]);
    assert!(unfit_detail(&entries[0].outcome).contains("`_id`"));
}

#[test]
fn upsert_takes_its_id_from_filter_then_update_then_fresh() {
    let set = json!({"$set": {"n": 1}});
    assert_plan(
        &[],
        update(json!({"_id": 7, "a": "x"}), set.clone(), "upsert after"),
        &upserted(7, &[json!({"_id": 7, "a": "x", "n": 1})]),
        &[put(json!({"_id": 7, "a": "x", "n": 1}))],
    );
    assert_plan(
        &[],
        update(json!({"a": "x"}), json!({"$set": {"_id": 8}}), "upsert before"),
        &upserted(8, &[]),
        &[put(json!({"_id": 8, "a": "x"}))],
    );
    assert_plan(
        &[],
        update(json!({"a": {"$gt": 1}}), set.clone(), "upsert"),
        &upserted("fresh", &[]),
        &[put(json!({"_id": "fresh", "n": 1}))],
    );
    assert_plan(
        &[json!({"_id": 7, "n": 0})],
        update(json!({"_id": 7}), set, "upsert"),
        &updated(1, 1, &[]),
        &[put(json!({"_id": 7, "n": 1}))],
    );
}

#[test]
fn upsert_of_an_id_that_is_taken_conflicts() {
    let stored = [json!({"_id": 7, "a": 1})];
    let set = json!({"$set": {"n": 1}});
    let taken = Outcome::Refused(conflict(&[7]));
    assert_plan(&stored, update(json!({"_id": 7, "a": 2}), set, "upsert"), &taken, &[]);
    let with_id = json!({"$set": {"_id": 7}});
    assert_plan(&stored, update(json!({"a": 2}), with_id, "upsert"), &taken, &[]);
}

#[test]
fn replace_exchanges_whole_documents_and_makes_them_only_when_asked() {
    let stored = [json!({"_id": 1, "a": 1})];
    assert_plan(
        &stored,
        replace(json!({"_id": 1, "b": 2}), false),
        &updated(1, 1, &[]),
        &[put(json!({"_id": 1, "b": 2}))],
    );
    assert_plan(&stored, replace(json!({"_id": 1, "a": 1}), true), &updated(1, 0, &[]), &[]);
    assert_plan(&stored, replace(json!({"_id": 2}), false), &updated(0, 0, &[]), &[]);
    assert_plan(
        &stored,
        replace(json!({"_id": 2}), true),
        &upserted(2, &[]),
        &[put(json!({"_id": 2}))],
    );
}

#[test]
fn delete_removes_the_first_match_by_id_or_all() {
    let stored = [json!({"_id": 3, "a": 1}), json!({"_id": 2, "a": 1}), json!({"_id": 1})];
    let of = json!({"a": 1});
    assert_plan(
        &stored,
        delete(of.clone(), false),
        &Outcome::Deleted { deleted: 1 },
        &[removal(2)],
    );
    let both = [removal(2), removal(3)];
    assert_plan(&stored, delete(of, true), &Outcome::Deleted { deleted: 2 }, &both);
    assert_plan(&stored, delete(json!({"_id": 9}), true), &Outcome::Deleted { deleted: 0 }, &[]);
}

#[test]
fn clear_and_index_say_so_and_no_more() {
    let (c, d) = (collection("c"), collection("d"));
    assert_plan(
        &[json!({"_id": 1})],
        WriteOperation::Clear { collections: vec![d.clone(), c.clone()] },
        &Outcome::Cleared { collections: vec![d.clone(), c.clone()] },
        &[Change::Clear { collection: d }, Change::Clear { collection: c.clone() }],
    );
    assert_plan(
        &[],
        WriteOperation::EnsureIndex { collection: c.clone(), field: "a.b".to_owned() },
        &Outcome::Indexed,
        &[Change::EnsureIndex { collection: c, field: "a.b".to_owned() }],
    );
}

#[test]
fn batch_is_carried_out_in_order_or_not_at_all() {
    let stored = [json!({"_id": 1, "n": 1}), json!({"_id": 2, "n": 1})];
    assert_plan(
        &stored,
        batch(vec![
            delete(json!({"n": 1}), false),
            delete(json!({"n": 1}), false),
            insert(&[json!({"_id": 1})]),
        ]),
        &Outcome::Batch {
            results: vec![
                Outcome::Deleted { deleted: 1 },
                Outcome::Deleted { deleted: 1 },
                inserted(&[1]),
            ],
        },
        &[removal(1), removal(2), put(json!({"_id": 1}))],
    );
    let failing = batch(vec![
        update(json!({"n": 1}), json!({"$set": {"n": 5}}), "many"),
        delete(json!({"_id": 2}), false),
        insert(&[json!({"_id": 3}), json!({"_id": 1})]),
    ]);
    let refusal = Refusal::InBatch { index: 2, refusal: Box::new(conflict(&[1])) };
    assert_plan(&stored, failing.clone(), &Outcome::Refused(refusal), &[]);
    // What the failed batch did is undone for those after it.
    let entries = planned(
        &stored,
        &[
            failing,
            update(json!({"_id": 2}), json!({"$inc": {"n": 1}}), "before"),
            replace(json!({"_id": 3}), false),
        ],
    );
    assert_eq!(entries[1].outcome, updated(1, 1, &[json!({"_id": 2, "n": 1})]));
    assert_eq!(entries[2].outcome, updated(0, 0, &[]));
}

#[test]
fn scan_is_corrected_by_what_the_requests_before_it_did() {
    let stored = [
        json!({"_id": 1, "n": 1}),
        json!({"_id": 2, "n": 1}),
        json!({"_id": 3, "n": 2}),
        json!({"_id": 4, "n": 1}),
    ];
    let changes_before = [
        delete(json!({"_id": 1}), false),
        replace(json!({"_id": 2, "n": 7}), false),
        update(json!({"_id": 3}), json!({"$set": {"n": 1}}), ""),
        insert(&[json!({"_id": 0, "n": 1})]),
    ];
    let scan = update(json!({"n": 1}), json!({"$set": {"seen": true}}), "many before");
    let found = [json!({"_id": 0, "n": 1}), json!({"_id": 3, "n": 1}), json!({"_id": 4, "n": 1})];
    let as_requests = [changes_before.as_slice(), std::slice::from_ref(&scan)].concat();
    assert_eq!(planned(&stored, &as_requests)[4].outcome, updated(3, 3, &found));
    let Outcome::Batch { results } = &planned(&stored, &[batch(as_requests)])[0].outcome else {
        panic!("the batch was refused");
    };
    assert_eq!(results[4], updated(3, 3, &found));
    let entries = planned(&stored, &[clear(), changes_before[3].clone(), scan]);
    assert_eq!(entries[2].outcome, updated(1, 1, &found[..1]));
}

#[test]
fn scan_for_one_reaches_past_what_was_changed_before_it() {
    let stored: Vec<_> = (1..=5).map(|id| json!({"_id": id, "n": 1})).collect();
    let entries = planned(
        &stored,
        &[
            delete(json!({"_id": {"$in": [1, 2]}}), true),
            delete(json!({"n": 1}), false),
            delete(json!({"n": 1}), false),
        ],
    );
    assert_eq!(entries[1].changes, [removal(3)]);
    assert_eq!(entries[2].changes, [removal(4)]);
}

#[test]
fn refused_scan_refuses_its_request_only() {
    let requests =
        [request("r0", delete(json!({"n": 1}), true)), request("r1", insert(&[json!({"_id": 1})]))];
    let requests: Vec<&WriteRequest> = requests.iter().collect();
    let needs = needs(&requests);
    let mut view = Store::default().view(&needs);
    view.not_scanned(needs.scans[0].key, Refusal::Unfit { detail: "too much".to_owned() });
    let plan = plan(&requests, view, &NOBODY_KNOWN());
    assert_eq!(unfit_detail(&plan.entries[0].outcome), "too much");
    assert_eq!(plan.entries[1].outcome, inserted(&[1]));
}

#[test]
fn only_the_first_of_requests_planned_together_scans() {
    let by_id = request("a", delete(json!({"_id": 1}), true));
    let scan = request("b", delete(json!({"n": 1}), false));
    let hidden = request("c", batch(vec![insert(&[json!({"_id": 1})]), scan.operation.clone()]));
    let table: [(&[&WriteRequest], usize); 7] = [
        (&[], 0),
        (&[&by_id], 1),
        (&[&scan], 1),
        (&[&scan, &by_id, &by_id], 3),
        (&[&by_id, &by_id, &scan, &by_id], 2),
        (&[&scan, &scan], 1),
        (&[&by_id, &hidden], 1),
    ];
    for (requests, expected) in table {
        assert_eq!(together(requests), expected, "{requests:?}");
    }
}

#[test]
fn request_that_changes_too_much_is_refused() {
    let stored: Vec<_> =
        (0..17).map(|id| json!({"_id": id, "text": "x".repeat(1_000_000)})).collect();
    let touch = json!({"$set": {"n": 1}});
    let entries = planned(&stored, &[update(json!({}), touch.clone(), "many")]);
    assert!(unfit_detail(&entries[0].outcome).contains("change 16 MiB"));
    let entries = planned(&stored, &[update(json!({"_id": {"$lt": 9}}), touch, "many after")]);
    assert!(
        unfit_detail(&entries[0].outcome).contains("change 16 MiB"),
        "what is returned counts too"
    );
    let entries = planned(&stored, &[delete(json!({}), true)]);
    assert_eq!(entries[0].outcome, Outcome::Deleted { deleted: 17 });
}

#[test]
fn encoded_entry_is_hardly_larger_than_it_was_charged_for() {
    // Small documents with long names around them: what a change takes besides its document.
    let collection = collection(&"c".repeat(64));
    let documents = (0..10_000).map(|id| document(json!({"_id": id}))).collect();
    let insert = request("r", WriteOperation::Insert { collection, documents });
    let requests = [&insert];
    let view = Store::default().view(&needs(&requests));
    let entry = plan(&requests, view, &NOBODY_KNOWN()).entries.remove(0);
    let charged = 10_000 * (32 + 64 + 9 + 10);
    assert!(crate::domain::message::encode(&entry).len() < charged + charged / 10);
}

#[test]
fn full_batch_leaves_the_rest_for_the_next() {
    let requests: Vec<_> = (0..8)
        .map(|id| {
            let text = "x".repeat(1_000_000);
            request(&format!("r{id}"), insert(&[json!({"_id": id, "text": text})]))
        })
        .collect();
    let requests: Vec<&WriteRequest> = requests.iter().collect();
    let view = Store::default().view(&needs(&requests));
    let plan = plan(&requests, view, &NOBODY_KNOWN());
    assert_eq!((plan.entries.len(), plan.answers.len()), (5, 5));
}
