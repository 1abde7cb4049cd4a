//! Notices workers that die as soon as they are started, and makes the next ones wait.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::NodeId;

/// A worker that dies younger than this died of its start.
const YOUNG: Duration = Duration::from_secs(1);
/// The wait after the first such death; doubled with each that follows.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What is remembered of young workers.
#[derive(Debug, Default)]
pub(super) struct Infancy {
    born: HashMap<NodeId, Instant>,
    /// When each worker that died young may be followed by another.
    waiting: HashMap<NodeId, Instant>,
    deaths_in_a_row: u32,
}

impl Infancy {
    /// Takes in who lives and who is dead, and forgets everybody else.
    pub(super) fn look<'a>(
        &mut self,
        workers: impl Iterator<Item = (&'a NodeId, bool)> + Clone,
        now: Instant,
    ) {
        for (node, lives) in workers.clone() {
            if lives {
                let born = *self.born.entry(node.clone()).or_insert(now);
                if now.duration_since(born) >= YOUNG {
                    self.deaths_in_a_row = 0;
                }
                self.waiting.remove(node);
            } else if let Some(born) = self.born.remove(node)
                && now.duration_since(born) < YOUNG
            {
                let wait = FIRST_WAIT * 2_u32.saturating_pow(self.deaths_in_a_row.min(8));
                self.deaths_in_a_row += 1;
                self.waiting.insert(node.clone(), now + wait.min(LONGEST_WAIT));
            }
        }
        self.born.retain(|node, _| workers.clone().any(|(known, _)| known == node));
        self.waiting.retain(|node, _| workers.clone().any(|(known, _)| known == node));
    }

    /// Whether this dead worker keeps its place for now.
    pub(super) fn is_waiting(&self, node: &NodeId, now: Instant) -> bool {
        self.waiting.get(node).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_young_death_in_a_row_makes_the_next_start_wait_longer() {
        let mut now = Instant::now();
        let mut infancy = Infancy::default();
        let mut waits = Vec::new();
        for number in 0..10 {
            let node = NodeId::new(format!("n{number}"));
            infancy.look([(&node, true)].into_iter(), now);
            infancy.look([(&node, false)].into_iter(), now + YOUNG / 2);
            let died = now + YOUNG / 2;
            let wait = (0..)
                .map(|ms| FIRST_WAIT * ms)
                .find(|wait| !infancy.is_waiting(&node, died + *wait));
            waits.push(wait.unwrap());
            now = died + wait.unwrap();
        }
        assert_eq!(waits[..3], [FIRST_WAIT, FIRST_WAIT * 2, FIRST_WAIT * 4]);
        assert_eq!(waits.last(), Some(&LONGEST_WAIT));
    }

    #[test]
    fn worker_that_lived_a_while_is_followed_at_once() {
        let now = Instant::now();
        let mut infancy = Infancy::default();
        let node = NodeId::new("n");
        infancy.look([(&node, true)].into_iter(), now);
        infancy.look([(&node, true)].into_iter(), now + YOUNG);
        infancy.look([(&node, false)].into_iter(), now + YOUNG);
        assert!(!infancy.is_waiting(&node, now + YOUNG));
    }
}
