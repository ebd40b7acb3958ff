//! A job is what its events say, also when only the pinned ones are left.

use proptest::prelude::*;

use super::*;
use crate::topic::draft::{Draft, Place};
use crate::topic::{Class, Epoch, Seq};

fn event(seq: u64, name: &str, class: Class, data: &str) -> Arc<Event> {
    let place = Place {
        seq: Seq(seq),
        epoch: Epoch::new("e").unwrap(),
        id: uuid::Uuid::from_u128(u128::from(seq)),
        timestamp_ms: i64::try_from(seq).unwrap(),
    };
    let draft = Draft::json("job:a".parse().unwrap(), name.parse().unwrap(), data);
    Arc::new(draft.unwrap().seal(place, class))
}

fn folded<'a>(events: impl IntoIterator<Item = &'a Arc<Event>>) -> Option<Job> {
    let mut job: Option<Job> = None;
    for event in events {
        match &mut job {
            Some(job) => drop(job.apply(event)),
            None => job = Job::begin(event),
        }
    }
    job
}

#[test]
fn a_job_is_what_its_events_say() {
    let created = r#"{"name":"n","type":"t","metadata":{"owner":"o","stage":0},"lease_ms":500}"#;
    let progress = r#"{"progress":75,"message":"m","metadata":{"stage":3}}"#;
    let events = [
        event(1, "job_created", Class::Fact, created),
        event(2, "job_started", Class::Fact, "{}"),
        event(3, "progress", Class::State, progress),
        event(4, "cancel_requested", Class::Fact, r#"{"reason":"r"}"#),
    ];
    let job = folded(&events).unwrap();
    let record = serde_json::to_value(job.record()).unwrap();
    let want = serde_json::json!({
        "id": "a", "name": "n", "type": "t", "status": "in_progress", "progress": 75.0,
        "message": "m", "metadata": {"owner": "o", "stage": 3, "cancelling": true},
        "attempt": 1, "created_at": "1970-01-01T00:00:00.001Z",
        "updated_at": "1970-01-01T00:00:00.004Z",
    });
    assert_eq!(record, want);
    assert_eq!(job.lease(), Some(Duration::from_millis(500)));
    assert_eq!(job.cancelling().unwrap().reason.as_deref(), Some("r"));
}

#[test]
fn files_count_as_progress_and_a_file_that_failed_is_no_end() {
    let file = r#"{"current_file":"/a","processed_files":1,"total_files":4,"status":"Reading"}"#;
    let events = [
        event(1, "job_started", Class::Fact, r#"{"total_files":4}"#),
        event(2, "file_processing", Class::State, file),
    ];
    let mut job = folded(&events).unwrap();
    assert_eq!(job.record().message.as_deref(), Some("Reading /a"));
    assert!((job.record().progress - 25.0).abs() < f64::EPSILON);
    assert!(job.apply(&event(3, "error", Class::Fact, r#"{"message":"denied"}"#)));
    assert_eq!(job.status(), JobStatus::InProgress);
    assert_eq!(job.record().message.as_deref(), Some("denied"));
    assert!(!job.apply(&event(4, "note", Class::Fact, "{}")));
    assert!(job.apply(&event(5, "job_completed", Class::Terminal, "{}")));
    assert!((job.record().progress - 100.0).abs() < f64::EPSILON);
}

fn step() -> impl Strategy<Value = (usize, usize)> {
    (0_usize..10, 0_usize..6)
}

proptest! {
    /// A log that kept only the pinned events tells the same job.
    #[test]
    fn the_pinned_events_say_the_same(steps in proptest::collection::vec(step(), 1..60)) {
        const NAMES: [(&str, Class); 10] = [
            ("job_created", Class::Fact),
            ("queued", Class::Fact),
            ("job_started", Class::Fact),
            ("progress", Class::State),
            ("file_processing", Class::State),
            ("error", Class::Fact),
            ("error", Class::Terminal),
            ("cancel_requested", Class::Fact),
            ("job_completed", Class::Terminal),
            ("job_retried", Class::Fact),
        ];
        const DATA: [&str; 6] = [
            "{}",
            r#"{"message":"m"}"#,
            r#"{"progress":40}"#,
            r#"{"metadata":{"a":1}}"#,
            r#"{"metadata":{"b":1},"lease_ms":7,"name":"n","webhook":"https://w/"}"#,
            r#"{"processed_files":1,"total_files":2,"current_file":"f"}"#,
        ];
        let mut stage = Stage::default();
        let mut log = Vec::new();
        for (name, data) in steps {
            let (name, class) = NAMES[name];
            let event = event(log.len() as u64 + 1, name, class, DATA[data]);
            let Ok(next) = stage.after(Step::of(&event.name, class), None) else {
                continue;
            };
            stage = next;
            log.push(Arc::new(Event {
                attempt: (name == "job_retried").then_some(next.attempt),
                ..Arc::into_inner(event).unwrap()
            }));
        }
        let Some(job) = folded(&log) else {
            return Ok(());
        };
        let mut kept: Vec<_> = job.pins().map(Arc::clone).collect();
        kept.extend(log.last().cloned());
        kept.sort_unstable_by_key(|event| event.seq);
        kept.dedup_by_key(|event| event.seq);
        let again = folded(&kept).unwrap();
        prop_assert_eq!(again.record(), job.record());
        prop_assert_eq!(again.stage(), job.stage());
        prop_assert_eq!(again.lease(), job.lease());
        prop_assert_eq!(again.webhook(), job.webhook());
        prop_assert_eq!(again.cancelling(), job.cancelling());
    }
}
