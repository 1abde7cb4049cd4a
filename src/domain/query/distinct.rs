//! The different values that documents have at a path.

use crate::domain::document::{Document, Value, array_index};

/// Every value at the path once, ascending. An array stands for its elements; a missing value
/// does not count. Of equal values such as 1 and 1.0 the integer is returned, whatever the order of
/// the documents, so that every replica returns the same.
pub fn distinct<'a>(documents: impl IntoIterator<Item = &'a Document>, path: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for document in documents {
        collect_in_document(document, path, &mut values);
    }
    values.sort_by(|a, b| a.compare(b).then_with(|| a.compare_representation(b)));
    values.dedup_by(|later, earlier| later.equals(earlier));
    values.into_iter().cloned().collect()
}

fn collect_in_document<'a>(document: &'a Document, path: &str, values: &mut Vec<&'a Value>) {
    match path.split_once('.') {
        None => values.extend(document.get(path).into_iter().flat_map(unwound)),
        Some((name, rest)) => collect(document.get(name), rest, values),
    }
}

/// Source: the server's `extractAllElementsAlongPath`. An index names one element of an array;
/// any other name is looked for in each element that is an object.
fn collect<'a>(current: Option<&'a Value>, path: &str, values: &mut Vec<&'a Value>) {
    match current {
        Some(Value::Object(document)) => collect_in_document(document, path, values),
        Some(Value::Array(elements)) => {
            let (next, rest) =
                path.split_once('.').map_or((path, None), |(next, rest)| (next, Some(rest)));
            match (array_index(next), rest) {
                (Some(index), None) => {
                    values.extend(elements.get(index).into_iter().flat_map(unwound));
                }
                (Some(index), Some(rest)) => collect(elements.get(index), rest, values),
                (None, _) => {
                    for document in elements.iter().filter_map(Value::as_document) {
                        collect_in_document(document, path, values);
                    }
                }
            }
        }
        _ => {}
    }
}

fn unwound(value: &Value) -> &[Value] {
    value.as_array().unwrap_or(std::slice::from_ref(value))
}
