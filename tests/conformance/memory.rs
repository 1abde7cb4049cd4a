//! The embedded adapters under the suites of their ports.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rideshare::adapters::memory::{
    LogSettings, MemoryCoordination, MemoryLog, MemoryProgress, MemoryRequests, MemoryStores,
    RequestsSettings,
};
use rideshare::domain::ids::DatabaseAddress;
use rideshare::ports::coordination::Coordination;
use rideshare::ports::log::Log;
use rideshare::ports::progress::ProgressFeed;
use rideshare::ports::requests::{RequestReceiver, RequestSender};
use rideshare::ports::store::Store;
use tokio::sync::OnceCell;

use crate::coordination::CoordinationFactory;
use crate::log::LogFactory;
use crate::progress::ProgressFactory;
use crate::requests::RequestsFactory;
use crate::store::StoreFactory;

mod requests {
    use super::Carrier;

    crate::requests::requests_suite!(tokio::test(start_paused = true), Carrier);

    mod on_threads {
        use super::Carrier;

        crate::requests::requests_suite!(tokio::test(flavor = "multi_thread"), Carrier);
    }
}

mod progress {
    crate::progress::progress_suite!(tokio::test(start_paused = true), super::Feed);
}

mod coordination {
    crate::coordination::coordination_suite!(tokio::test(start_paused = true), super::Service);
}

mod coordination_with_a_file {
    crate::coordination::coordination_suite!(tokio::test, super::ServiceWithFile);
}

mod log {
    crate::log::log_conformance!(super::SharedLog);
}

mod store {
    crate::store::store_conformance!(super::Stores);
}

struct Carrier(MemoryRequests);

impl RequestsFactory for Carrier {
    const REQUEUES_IN_ORDER: bool = true;

    async fn start(capacity: usize) -> Self {
        Self(MemoryRequests::new(RequestsSettings { capacity, ..RequestsSettings::default() }))
    }

    async fn sender(&self) -> Arc<dyn RequestSender> {
        Arc::new(self.0.sender())
    }

    async fn receiver(&self) -> Arc<dyn RequestReceiver> {
        Arc::new(self.0.receiver())
    }

    async fn finish(self) {}
}

struct Feed(MemoryProgress);

impl ProgressFactory for Feed {
    const CAPACITY: usize = 100;

    async fn start() -> Self {
        Self(MemoryProgress::new(Self::CAPACITY))
    }

    async fn feed(&self) -> Arc<dyn ProgressFeed> {
        Arc::new(self.0.clone())
    }

    async fn finish(self) {}
}

struct Service(MemoryCoordination);

impl CoordinationFactory for Service {
    const EXPIRY_BOUND: Duration = Duration::from_secs(12);

    async fn start() -> Self {
        Self(MemoryCoordination::new(Self::EXPIRY_BOUND / 2))
    }

    async fn session(&self) -> Arc<dyn Coordination> {
        Arc::new(self.0.session())
    }

    async fn finish(self) {}
}

struct ServiceWithFile {
    service: MemoryCoordination,
    directory: tempfile::TempDir,
}

impl CoordinationFactory for ServiceWithFile {
    const EXPIRY_BOUND: Duration = Duration::from_secs(2);

    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("coordination.json");
        let service = MemoryCoordination::open(Self::EXPIRY_BOUND / 2, &path).await.unwrap();
        Self { service, directory }
    }

    async fn session(&self) -> Arc<dyn Coordination> {
        Arc::new(self.service.session())
    }

    async fn finish(self) {
        self.directory.close().unwrap();
    }
}

/// A log lives as long as its first handle, which a factory keeps like a disk.
struct SharedLog(OnceCell<MemoryLog>);

const OVERSIZED_BYTES: usize = 16 << 20;

impl SharedLog {
    async fn open_with(&self, settings: LogSettings) -> Arc<dyn Log> {
        Arc::new(self.0.get_or_init(async || MemoryLog::new(settings)).await.clone())
    }
}

#[async_trait]
impl LogFactory for SharedLog {
    async fn start() -> Self {
        Self(OnceCell::new())
    }

    async fn open(&self) -> Arc<dyn Log> {
        let settings = LogSettings { max_record_bytes: OVERSIZED_BYTES, ..LogSettings::default() };
        self.open_with(settings).await
    }

    async fn open_bounded(&self, bytes: u64) -> Arc<dyn Log> {
        let max_bytes = usize::try_from(bytes).unwrap();
        self.open_with(LogSettings { max_bytes, ..LogSettings::default() }).await
    }

    fn oversized_bytes(&self) -> usize {
        OVERSIZED_BYTES
    }

    async fn clean_up(self) {}
}

struct Stores(MemoryStores);

#[async_trait]
impl StoreFactory for Stores {
    async fn start() -> Self {
        Self(MemoryStores::new())
    }

    async fn open(&self, name: &str) -> Arc<dyn Store> {
        Arc::new(self.0.open(name))
    }

    fn missing_address(&self) -> DatabaseAddress {
        DatabaseAddress::new("memory:missing")
    }

    async fn clean_up(self) {}
}
