//! What one client saw: how many, how late, and what was wrong.

use serde::Deserialize;

use crate::app::latencies::Latencies;

/// What a measured event says of itself.
#[derive(Deserialize)]
struct Tick {
    /// None, of a server that does not number events: then they are counted as they come.
    #[serde(rename = "_seq")]
    seq: Option<u64>,
    at: u64,
}

/// What one client saw.
#[derive(Debug, Clone)]
pub(super) struct Score {
    seen: Vec<bool>,
    newest: u64,
    pub(super) delivered: u64,
    pub(super) doubled: u64,
    pub(super) disordered: u64,
    /// When the last one came, in microseconds after the start.
    pub(super) last_at: u64,
    latencies: Latencies,
}

impl Score {
    /// Nothing seen yet of so many.
    pub(super) fn new(expected: u64) -> Self {
        let expected = usize::try_from(expected).expect("the number of events is bounded");
        Self {
            seen: vec![false; expected],
            newest: 0,
            delivered: 0,
            doubled: 0,
            disordered: 0,
            last_at: 0,
            latencies: Latencies::default(),
        }
    }

    /// Looks at a packet that came so many microseconds after the start.
    pub(super) fn see(&mut self, packet: &str, now: u64) {
        let Some(data) = packet.strip_prefix("42[\"tick\",") else {
            return;
        };
        // An offset may follow.
        let mut arguments = serde_json::Deserializer::from_str(data).into_iter();
        let Some(Ok(Tick { seq, at })) = arguments.next() else {
            return;
        };
        let seq = seq.unwrap_or(self.newest + 1);
        let place = usize::try_from(seq)
            .ok()
            .and_then(|seq| self.seen.get_mut(seq.checked_sub(1)?));
        let Some(seen) = place else { return };
        if std::mem::replace(seen, true) {
            self.doubled += 1;
            return;
        }
        self.disordered += u64::from(seq < self.newest);
        self.newest = self.newest.max(seq);
        self.delivered += 1;
        self.last_at = now;
        self.latencies.add(now.saturating_sub(at));
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.delivered == self.seen.len() as u64
    }

    /// How many are missing.
    pub(super) fn lost(&self) -> u64 {
        self.seen.len() as u64 - self.delivered
    }

    /// How late they came.
    pub(super) const fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(seq: u64) -> String {
        format!(r#"42["tick",{{"at":5,"pad":"x","_seq":{seq}}}]"#)
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_counted() {
        let mut score = Score::new(5);
        for seq in [1, 3, 2, 3, 5] {
            score.see(&tick(seq), 10);
        }
        score.see(r#"42["connected",{}]"#, 10);
        score.see("42[\"tick\",nonsense]", 10);
        score.see(&tick(2).replace(']', ",\"session:a:e:2\"]"), 10);
        score.see(&tick(6), 10);
        assert_eq!((score.delivered, score.lost()), (4, 1));
        assert_eq!((score.doubled, score.disordered), (2, 1));
        assert!(!score.is_whole());
        score.see(&tick(4), 10);
        assert!(score.is_whole());
    }
}
