//! What an entry is found by.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use crate::domain::document::{CollectionName, DocumentId};

/// Owned, as it stands in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    generation: u64,
    collection: CollectionName,
    id: DocumentId,
}

/// Borrowed, to look for one.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) generation: u64,
    pub(super) collection: &'a CollectionName,
    pub(super) id: &'a DocumentId,
}

impl Key {
    /// In bytes, about.
    pub(super) fn size(&self) -> usize {
        let id = match &self.id {
            DocumentId::Integer(_) => size_of::<i64>(),
            DocumentId::String(text) => text.len(),
        };
        self.collection.as_str().len() + id
    }
}

impl KeyRef<'_> {
    pub(super) fn to_owned(self) -> Key {
        let Self { generation, collection, id } = self;
        Key { generation, collection: collection.clone(), id: id.clone() }
    }
}

/// The same as that of [`KeyRef`].
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { generation, collection, id } = self;
        KeyRef { generation: *generation, collection, id }.hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.generation == key.generation
            && *self.collection == key.collection
            && *self.id == key.id
    }
}
