//! Cases on the order of answers, and on what is cut from them.

use rideshare::domain::document::Document;
use rideshare::domain::query::{self, Query, SortOrder};
use rideshare::ports::store::Store;

use super::{PLENTY, StoreFactory, all, apply, docs, exactly, filter, puts, users};

use SortOrder::{Ascending, Descending};

/// Documents with values of all kinds to order by, not in the order of keys.
fn mixture() -> Vec<Document> {
    docs(&[
        r#"{"_id":"m","n":2,"t":"b","a":[3,1]}"#,
        r#"{"_id":7,"n":1.5,"t":"a","a":[]}"#,
        r#"{"_id":3,"n":2.0,"t":"a","a":[{"b":2},{"b":9}]}"#,
        r#"{"_id":1,"n":null,"t":"c","a":{"b":3}}"#,
        r#"{"_id":5,"t":"b","a":null}"#,
        r#"{"_id":"k","n":"2","t":"B"}"#,
        r#"{"_id":"a","n":true,"t":"","a":[[1],[0]]}"#,
        r#"{"_id":2,"n":{"x":1},"t":"é","a":[2]}"#,
        r#"{"_id":4,"n":[5,0],"t":"b","a":0}"#,
        r#"{"_id":6,"n":9007199254740993,"t":"b","a":"x"}"#,
        r#"{"_id":8,"n":9007199254740992,"t":"b","a":false}"#,
        r#"{"_id":9,"n":2,"t":"a","a":[1,"z"]}"#,
    ])
}

async fn check(store: &dyn Store, query: &Query) {
    let expected = query::evaluate(query, &mixture());
    let found = store.find(query, PLENTY).await.unwrap();
    assert_eq!(exactly(&found), exactly(&expected), "{query:?}");
}

fn sorts() -> Vec<Vec<(String, SortOrder)>> {
    let tables: [&[(&str, SortOrder)]; 13] = [
        &[],
        &[("n", Ascending)],
        &[("n", Descending)],
        &[("t", Ascending)],
        &[("t", Descending), ("n", Ascending)],
        &[("n", Ascending), ("t", Descending)],
        &[("a", Ascending)],
        &[("a", Descending)],
        &[("a.b", Ascending)],
        &[("a.b", Descending), ("_id", Descending)],
        &[("a.0", Ascending)],
        &[("_id", Descending)],
        &[("_id", Ascending), ("n", Descending)],
    ];
    let owned = |(path, order): &(&str, SortOrder)| ((*path).to_owned(), *order);
    tables.iter().map(|sort| sort.iter().map(owned).collect()).collect()
}

pub(crate) async fn order_is_by_key_when_none_is_asked_for<F: StoreFactory>(factory: &F) {
    let store = factory.open("unordered").await;
    apply(&*store, &puts(&users(), &mixture()), 0).await;
    let mut expected = mixture();
    expected.sort_by_key(Document::id);
    assert_eq!(exactly(&all(&*store, &users()).await), exactly(&expected));
    let query = Query { filter: filter(r#"{"t":"b"}"#), ..Query::all(users()) };
    check(&*store, &query).await;
}

pub(crate) async fn sorts_order_as_the_domain_says<F: StoreFactory>(factory: &F) {
    let store = factory.open("sorted").await;
    apply(&*store, &puts(&users(), &mixture()), 0).await;
    for sort in sorts() {
        check(&*store, &Query { sort: sort.clone(), ..Query::all(users()) }).await;
        let filter = filter(r#"{"t":{"$in":["a","b"]}}"#);
        check(&*store, &Query { sort, filter, ..Query::all(users()) }).await;
    }
}

pub(crate) async fn skip_and_limit_cut_the_ordered_documents<F: StoreFactory>(factory: &F) {
    let store = factory.open("cut").await;
    apply(&*store, &puts(&users(), &mixture()), 0).await;
    for sort in sorts() {
        for (skip, limit) in [
            (0, Some(1)),
            (0, Some(5)),
            (3, Some(4)),
            (10, Some(9)),
            (11, None),
            (99, Some(1)),
            (2, None),
        ] {
            let query = Query { sort: sort.clone(), skip, limit, ..Query::all(users()) };
            check(&*store, &query).await;
            let filter = filter(r#"{"n":{"$gt":1}}"#);
            check(&*store, &Query { filter, ..query }).await;
        }
    }
    let huge = Query { skip: 1, limit: Some(i64::MAX as u64), ..Query::all(users()) };
    check(&*store, &huge).await;
}

pub(crate) async fn projection_keeps_the_key_and_the_named_fields<F: StoreFactory>(factory: &F) {
    let store = factory.open("projected").await;
    apply(&*store, &puts(&users(), &mixture()), 0).await;
    let projections: [&[&str]; 7] =
        [&[], &["n"], &["a.b"], &["t", "a"], &["a", "a.b"], &["_id"], &["nowhere", "a.0"]];
    for paths in projections {
        let projection = Some(paths.iter().map(|path| (*path).to_owned()).collect());
        let query = Query { projection, ..Query::all(users()) };
        check(&*store, &query).await;
        let sort = vec![("n".to_owned(), Descending)];
        check(&*store, &Query { sort, limit: Some(4), ..query }).await;
    }
}
