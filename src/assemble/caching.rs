//! Puts a worker's cache before its database.

use std::sync::Arc;

use crate::adapters::cache::CachedStore;
use crate::ports::store::Store;
use crate::settings::Limits;

const MEBIBYTE: usize = 1 << 20;

/// The store with as much of a cache as the settings want.
pub(super) fn before(store: impl Store + 'static, limits: &Limits) -> Arc<dyn Store> {
    let store = Arc::new(store);
    match limits.cache_mb {
        0 => store,
        mebibytes => Arc::new(CachedStore::new(store, mebibytes * MEBIBYTE)),
    }
}
