//! How far it is, for whoever looks on: on a terminal alone, and on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use super::Options;

const TICK: Duration = Duration::from_millis(200);

pub(super) struct Progress {
    bar: ProgressBar,
    _task: AbortOnDropHandle<()>,
}

impl Progress {
    pub(super) fn start(options: &Options) -> Self {
        let whole = options.warm_up + options.duration;
        // Draws nothing where stderr is no terminal.
        let bar = ProgressBar::new(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{msg} {wide_bar} {elapsed} of {prefix}");
        bar.set_style(style.expect("the template is sound"));
        bar.set_message(options.work.name());
        bar.set_prefix(format!("{}s", whole.as_secs()));
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let begun = tokio::time::Instant::now();
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                shown.set_position(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            }
        });
        Self { bar, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
