//! Kills of the master, and for how long nobody's write was answered then.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::target::Target;

/// The last kill is this long before the end, so that its outage is seen whole.
const LAST: Duration = Duration::from_secs(2);

/// Kills a master every so often until shortly before the end, and adds when that was.
///
/// # Errors
/// When the system does not let itself be asked to.
pub(super) async fn kill_masters(
    target: &Target,
    begin: Instant,
    every: Duration,
    duration: Duration,
    kills: &mut Vec<Instant>,
) -> anyhow::Result<()> {
    let mut next = begin + every;
    while next + LAST <= begin + duration {
        sleep_until(next).await;
        kills.push(Instant::now());
        target.kill_master().await?;
        next += every;
    }
    Ok(())
}

/// The longest time without an answered write after each kill and before the next; nothing for a kill
/// after which there was no answer at all.
pub(super) fn outages(kills: &[Instant], written_at: &[Instant]) -> Vec<Option<Duration>> {
    let mut sorted = written_at.to_vec();
    sorted.sort_unstable();
    let outage = |(index, kill): (usize, &Instant)| {
        let until = kills.get(index + 1);
        let first = sorted.partition_point(|at| at <= kill);
        let end = until.map_or(sorted.len(), |until| sorted.partition_point(|at| at <= until) + 1);
        let after = sorted.get(first..end.min(sorted.len())).unwrap_or_default();
        let before = std::iter::once(kill).chain(after);
        before.zip(after).map(|(from, to)| *to - *from).max()
    };
    kills.iter().enumerate().map(outage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_is_the_longest_gap_after_a_kill() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let written = [5, 10, 12, 80, 81, 110, 160, 161].map(at);
        let found = outages(&[at(11), at(100), at(200)], &written);
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(found, [ms(68), ms(50), None]);
    }
}
