//! What every `Store` keeps, whatever it stores documents in.
//!
//! An adapter implements [`StoreFactory`] and calls `store_conformance!(ItsFactory)` in a module
//! of its own; every case becomes a test there.

mod copying;
mod ordering;
mod reading;
mod writing;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value, json};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::{DatabaseAddress, Epoch, LogId, Offset, Sequence};
use rideshare::domain::log::{Change, History, Term};
use rideshare::domain::query::Query;
use rideshare::ports::store::Store;

pub(crate) use copying::*;
pub(crate) use ordering::*;
pub(crate) use reading::*;
pub(crate) use writing::*;

/// More than any answer of these cases holds.
pub(crate) const PLENTY: usize = 64 * 1024 * 1024;

/// Where the stores of one test live: a directory, a server.
#[async_trait]
pub(crate) trait StoreFactory: Send + Sync + Sized {
    /// A place without any store, that no other test uses.
    async fn start() -> Self;

    /// Opens the store of that name: a new and empty one, or, once the handle before was dropped,
    /// the same one again as after a restart of its worker.
    async fn open(&self, name: &str) -> Arc<dyn Store>;

    /// A well-formed address at which nothing can be copied.
    fn missing_address(&self) -> DatabaseAddress;

    /// Removes everything that the test stored.
    async fn clean_up(self);
}

/// Runs one case and cleans up whether it passed or not.
pub(crate) async fn run<F: StoreFactory>(case: impl AsyncFnOnce(&F)) {
    let factory = F::start().await;
    let outcome = AssertUnwindSafe(case(&factory)).catch_unwind().await;
    factory.clean_up().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Makes a test of every case, for one factory.
macro_rules! store_conformance {
    ($factory:ty) => {
        $crate::store::store_conformance!(@cases $factory:
            // writing
            new_store_is_empty_and_has_no_history,
            changes_and_history_survive_a_restart,
            history_without_changes_is_stored,
            changes_of_a_batch_count_in_their_order,
            applying_a_batch_again_changes_nothing,
            put_replaces_the_whole_document,
            delete_and_clear_of_what_is_not_there_are_harmless,
            clear_empties_one_collection_only,
            clear_keeps_indexes_working,
            index_changes_no_answer,
            index_is_idempotent_and_may_come_before_its_collection,
            values_come_back_exactly_as_they_were_put,
            keys_of_both_kinds_are_told_apart,
            large_document_and_large_batch_are_stored,
            reads_see_each_document_whole_while_it_is_replaced,
            read_after_apply_sees_what_was_applied,
            changes_can_be_read_once_they_are_told_to_be_visible,
            // reading
            get_returns_what_there_is_and_leaves_out_the_rest,
            get_of_many_keys_returns_each_document_once,
            find_in_a_missing_collection_is_empty,
            filters_select_as_the_domain_says,
            filters_select_the_same_with_indexes,
            filter_by_keys_returns_each_document_once,
            ranges_of_keys_select_as_the_domain_says,
            count_counts_matches_within_skip_and_limit,
            distinct_values_come_once_and_ascending,
            collections_are_those_that_hold_documents,
            answer_larger_than_allowed_is_refused,
            bound_is_on_the_answer_and_not_on_what_was_looked_at,
            // ordering
            order_is_by_key_when_none_is_asked_for,
            sorts_order_as_the_domain_says,
            skip_and_limit_cut_the_ordered_documents,
            projection_keeps_the_key_and_the_named_fields,
            // copying
            copy_of_a_quiet_source_is_equal_and_has_its_history,
            copy_replaces_what_was_there,
            copy_survives_a_restart,
            copy_goes_on_from_its_history,
            copy_of_a_busy_source_is_consistent_once_replayed,
            copy_of_an_empty_source_is_empty,
            copy_that_fails_leaves_the_store_empty,
            copy_that_is_cut_off_leaves_the_store_empty,
        );
    };
    (@cases $factory:ty: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::store::run(async |factory: &$factory| {
                    $crate::store::$case(factory).await;
                })
                .await;
            }
        )*
    };
}
pub(crate) use store_conformance;

pub(crate) fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).unwrap()
}

pub(crate) fn users() -> CollectionName {
    name("users")
}

pub(crate) fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

pub(crate) fn doc(text: &str) -> Document {
    value(text).as_document().unwrap().clone()
}

pub(crate) fn docs(texts: &[&str]) -> Vec<Document> {
    texts.iter().map(|text| doc(text)).collect()
}

pub(crate) fn filter(text: &str) -> Filter {
    Filter::parse(&value(text)).unwrap()
}

pub(crate) fn put(collection: &CollectionName, document: &Document) -> Change {
    Change::Put {
        collection: collection.clone(),
        id: document.id().expect("the document has a key"),
        document: Arc::new(document.clone()),
    }
}

pub(crate) fn puts(collection: &CollectionName, documents: &[Document]) -> Vec<Change> {
    documents.iter().map(|document| put(collection, document)).collect()
}

pub(crate) fn delete(collection: &CollectionName, id: impl Into<DocumentId>) -> Change {
    Change::Delete { collection: collection.clone(), id: id.into() }
}

pub(crate) fn clear(collection: &CollectionName) -> Change {
    Change::Clear { collection: collection.clone() }
}

pub(crate) fn index(collection: &CollectionName, field: &str) -> Change {
    Change::EnsureIndex { collection: collection.clone(), field: field.to_owned() }
}

/// The history of a replica that has taken in everything up to an offset.
pub(crate) fn history(applied: u64) -> History {
    History {
        log_id: Some(LogId::new("a history")),
        terms: vec![
            Term { epoch: Epoch(1), begun: Offset(0), batches: Sequence(u64::MAX) },
            Term { epoch: Epoch(3), begun: Offset(1), batches: Sequence(applied) },
        ],
        applied: Some(Offset(applied)),
    }
}

pub(crate) async fn apply(store: &dyn Store, changes: &[Change], applied: u64) {
    store.apply(changes, &history(applied)).await.unwrap();
}

/// Every document of a collection, in the order of keys.
pub(crate) async fn all(store: &dyn Store, collection: &CollectionName) -> Vec<Document> {
    store.find(&Query::all(collection.clone()), PLENTY).await.unwrap()
}

/// Everything in a store.
pub(crate) async fn contents(store: &dyn Store) -> Vec<(CollectionName, Vec<Document>)> {
    let mut contents = Vec::new();
    for collection in store.collections().await.unwrap() {
        let documents = all(store, &collection).await;
        contents.push((collection, documents));
    }
    contents
}

/// As text in which also 1 and 1.0, and 0.0 and -0.0, differ.
pub(crate) fn exactly(documents: &[Document]) -> String {
    format!("{documents:#?}")
}
