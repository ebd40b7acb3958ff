use serde_json::json;

use super::*;
use crate::app::verify::event;

const TOPIC: &str = "session:a";

const FACTS: Stream = Stream {
    producer: 1,
    lane: Lane::Fact,
};

const STATES: Stream = Stream {
    producer: 1,
    lane: Lane::State,
};

fn place(epoch: &str, seq: u64) -> Place {
    Place {
        epoch: epoch.to_owned(),
        seq,
    }
}

/// An event whose place is its number.
fn event(stream: Stream, n: u64, is_replayed: bool) -> Payload {
    let mut value = event::payload(TOPIC, stream, n, (0, "pad"));
    value["_seq"] = json!(n);
    value["_epoch"] = json!("e");
    value["_replayed"] = json!(is_replayed);
    serde_json::from_value(value).unwrap()
}

fn log(facts: u64, states: u64) -> Log {
    let mut log = Log::default();
    for (stream, count) in [(FACTS, facts), (STATES, states)] {
        for n in 1..=count {
            log.acknowledged(stream, place("e", n));
        }
    }
    log
}

fn ledger(base: u64, facts: &[u64]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.subscribed(Some(place("e", base)));
    for n in facts {
        ledger.see(Lane::Fact, &event(FACTS, *n, false));
    }
    ledger
}

#[test]
fn what_came_once_and_in_order_is_whole() {
    let ledger = ledger(0, &[1, 2, 3, 4, 5]);
    assert!(ledger.is_whole(&log(5, 0)));
    assert_eq!(ledger.verdict(&log(5, 0)), Wrong::default());
}

#[test]
fn a_jump_is_lost_and_unannounced_but_a_missing_end_is_only_lost() {
    let ledger = ledger(0, &[1, 2, 5, 7]);
    let wrong = ledger.verdict(&log(9, 0));
    assert_eq!((wrong.lost, wrong.unannounced), (5, 2));
    assert_eq!((wrong.doubled, wrong.disordered), (0, 0));
    assert!(wrong.is_breach() && !ledger.is_whole(&log(9, 0)));
}

#[test]
fn what_comes_again_is_doubled_and_what_comes_late_is_out_of_order() {
    let wrong = ledger(0, &[1, 2, 5, 3, 3, 4, 5, 1]).verdict(&log(5, 0));
    assert_eq!((wrong.lost, wrong.unannounced), (0, 0));
    assert_eq!((wrong.doubled, wrong.disordered), (3, 2));
}

#[test]
fn what_was_before_the_clients_time_is_not_missed() {
    let ledger = ledger(3, &[4, 5]);
    assert!(ledger.is_whole(&log(5, 0)));
    assert!(!ledger.is_whole(&log(6, 0)));
}

#[test]
fn what_a_gap_announced_is_missing_but_not_lost() {
    let mut ledger = ledger(0, &[1, 2]);
    ledger.gap(place("e", 2), place("e", 6));
    // The snapshot tells once more what is left, and nobody counts that as doubled.
    for n in [2, 5, 6] {
        ledger.see(Lane::Fact, &event(FACTS, n, true));
    }
    ledger.see(Lane::Fact, &event(FACTS, 7, false));
    let wrong = ledger.verdict(&log(7, 0));
    assert_eq!((wrong.gaps, wrong.missing), (1, 2));
    assert!(!wrong.is_breach(), "{wrong:?}");
    // But a live one that comes twice is.
    ledger.see(Lane::Fact, &event(FACTS, 7, false));
    assert_eq!(ledger.verdict(&log(7, 0)).doubled, 1);
}

#[test]
fn a_gap_covers_the_rest_of_the_old_incarnation_and_the_begin_of_the_new() {
    let gap = Gap {
        from: place("a", 5),
        to: place("b", 3),
    };
    let cases = [
        ("a", 5, false),
        ("a", 6, true),
        ("b", 3, true),
        ("b", 4, false),
    ];
    for (epoch, seq, is_covered) in cases {
        assert_eq!(gap.covers(&place(epoch, seq)), is_covered, "{epoch}:{seq}");
    }
}

#[test]
fn of_states_the_newest_has_to_come_and_the_order_is_kept() {
    let mut ledger = ledger(0, &[]);
    for n in [1, 4] {
        ledger.see(Lane::State, &event(STATES, n, false));
    }
    assert!(ledger.is_whole(&log(0, 4)));
    assert_eq!(ledger.verdict(&log(0, 6)).lost, 1);
    ledger.see(Lane::State, &event(STATES, 3, false));
    ledger.see(Lane::State, &event(STATES, 4, false));
    let wrong = ledger.verdict(&log(0, 4));
    assert_eq!((wrong.disordered, wrong.doubled), (1, 1));
}

#[test]
fn what_nobody_sent_is_corrupt() {
    let mut ledger = ledger(0, &[1]);
    let mut changed = event(FACTS, 2, false);
    changed.n = 3;
    ledger.see(Lane::Fact, &changed);
    let wrong = ledger.verdict(&log(1, 0));
    assert_eq!((wrong.corrupt, wrong.lost), (1, 0));
    assert!(wrong.is_breach());
}
