//! The names and numbers that identify things: one newtype each, so that they cannot be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number that follows this one; the last one stays. Only strangers write such
            /// numbers, so nothing relies on what follows, but nothing panics or begins anew.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number! {
    /// One term of office. Epoch 0 is the time before the first master.
    Epoch(u64)
}
number! {
    /// The place of a record in the log, given by the log; the first record has offset 0.
    Offset(u64)
}
number! {
    /// The place of a batch within its epoch; the first batch of an epoch has sequence 0.
    Sequence(u64)
}
number! {
    /// The process id that the container runtime reports for a worker.
    Pid(u32)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes any text as the name.
            #[must_use]
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name! {
    /// One history: made by the very first master, carried by every record.
    LogId
}
name! {
    /// A worker, for as long as it has its database.
    NodeId
}
name! {
    /// An orchestrator process.
    OrchestratorId
}
name! {
    /// One write as its client meant it: every delivery and every retry carries the same id.
    RequestId
}
name! {
    /// Where another worker can read a database from, in the terms of the store adapter.
    DatabaseAddress
}
