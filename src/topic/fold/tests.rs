use proptest::prelude::*;

use super::*;
use crate::topic::draft::{Draft, Place};
use crate::topic::{Epoch, Seq};

const BOUNDS: Bounds = Bounds {
    states_max: 3,
    facts_max: 4,
    clarifications_max: 3,
};

fn event(seq: u64, name: &str, class: Class, key: Option<&str>, data: &str) -> Arc<Event> {
    let place = Place {
        seq: Seq(seq),
        epoch: Epoch::new("e").unwrap(),
        id: uuid::Uuid::from_u128(u128::from(seq)),
        timestamp_ms: 0,
    };
    let draft = Draft::json("session:a".parse().unwrap(), name.parse().unwrap(), data);
    Arc::new(draft.unwrap().with_key(key).unwrap().seal(place, class))
}

fn seqs(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

#[test]
fn a_joiner_gets_the_newest_state_the_facts_open_questions_and_the_end() {
    let mut fold = Fold::new(BOUNDS);
    let question = r#"{"clarificationId":"q","question":"?"}"#;
    fold.apply(&event(1, "progress", Class::State, None, "{}"));
    fold.apply(&event(2, "model_result", Class::Fact, None, "{}"));
    fold.apply(&event(3, "clarification", Class::Fact, None, question));
    fold.apply(&event(4, "progress", Class::State, None, "{}"));
    fold.apply(&event(5, "completed", Class::Terminal, None, "{}"));
    assert_eq!(seqs(&fold.snapshot()), [2, 3, 4, 5]);
    assert_eq!(fold.status(), Status::Completed);

    let answer = r#"{"clarificationId":"q","status":"answered","response":"yes"}"#;
    fold.apply(&event(6, "clarification", Class::Fact, None, answer));
    assert_eq!(seqs(&fold.snapshot()), [2, 4, 5]);
    let status = &fold.clarification("q").unwrap().status;
    assert!(matches!(status, ClarificationStatus::Answered { response, .. } if response == "yes"));
    let late = r#"{"clarificationId":"q","status":"expired"}"#;
    fold.apply(&event(7, "clarification", Class::Fact, None, late));
    let status = &fold.clarification("q").unwrap().status;
    assert!(matches!(status, ClarificationStatus::Answered { .. }));
}

proptest! {
    /// Against a plain list of everything that was applied.
    #[test]
    fn it_agrees_with_the_whole_log(
        steps in proptest::collection::vec((0_u8..3, 0_u8..5), 0..40),
    ) {
        let mut fold = Fold::new(BOUNDS);
        let mut log = Vec::new();
        for (n, (class, key)) in steps.iter().enumerate() {
            let class = [Class::State, Class::Fact, Class::Terminal][usize::from(*class)];
            let name = ["progress", "model_result", "completed"][class as usize];
            let key = key.to_string();
            log.push(event(n as u64 + 1, name, class, Some(&key), "{}"));
            fold.apply(&log[n]);
        }
        let newest = |class: Class, max: usize| {
            let mut of_class: Vec<_> = log.iter().filter(|e| e.class == class).collect();
            if class == Class::State {
                let all = of_class.clone();
                of_class.retain(|e| !all.iter().any(|o| o.key == e.key && o.seq > e.seq));
            }
            let skip = of_class.len().saturating_sub(max);
            of_class.into_iter().skip(skip).map(|e| e.seq.0).collect::<Vec<_>>()
        };
        let mut want = newest(Class::State, BOUNDS.states_max);
        want.extend(newest(Class::Fact, BOUNDS.facts_max));
        want.extend(newest(Class::Terminal, 1));
        want.sort_unstable();
        prop_assert_eq!(seqs(&fold.snapshot()), want);
    }
}
