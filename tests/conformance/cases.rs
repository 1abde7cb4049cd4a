//! Makes tests of the cases of a suite, and the bounds that all suites wait within.

use std::time::Duration;

/// How long an event may take that is bound to come. Only a failing test waits as long.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How long nothing must happen to be taken as never.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// Makes one test of each case of a suite, for one factory.
macro_rules! cases {
    ($attribute:meta, $suite:ident, $factory:ty, [$($case:ident),+ $(,)?]) => {
        $(
            #[$attribute]
            async fn $case() {
                $crate::$suite::$case::<$factory>().await;
            }
        )+
    };
}
