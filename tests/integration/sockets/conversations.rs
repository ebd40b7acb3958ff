//! The conversations in `docs/protocols/`, as they stand there.
//!
//! In a block ```` ```conversation PATH ```` a line `> TEXT` is sent and a line `< JSON` is what must come: with at
//! least these members, `…` for anything. `{name}` is what the test put there or what it met first.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidings::auth::{Issue, Secret, SigningKey};

use super::Running;

const SECRET: &str = "a secret of the tests, long enough for HS256";

type Known = HashMap<String, String>;

fn token(sub: &str, role: &str) -> String {
    let issue = Issue {
        sub: sub.to_owned(),
        role: Some(role.to_owned()),
        sub_topics: None,
        pub_topics: None,
        iss: None,
        aud: None,
    };
    let key = SigningKey::of_secret(&Secret::from(SECRET.to_owned()));
    issue.sign(&key, Duration::from_mins(10)).unwrap()
}

fn filled(text: &str, known: &Known) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

/// Whether what came has at least what was wanted.
fn has(came: &Value, wanted: &Value, known: &mut Known) -> bool {
    match wanted {
        Value::String(text) if text == "…" => !came.is_null(),
        Value::String(text) if text.starts_with('{') && text.ends_with('}') => {
            let Some(value) = came.as_str() else {
                return false;
            };
            known.insert(text.trim_matches(['{', '}']).to_owned(), value.to_owned());
            true
        }
        Value::Object(members) => members
            .iter()
            .all(|(name, wanted)| came.get(name).is_some_and(|came| has(came, wanted, known))),
        Value::Array(items) => {
            let came = came.as_array().map_or(&[][..], Vec::as_slice);
            came.len() == items.len()
                && items
                    .iter()
                    .zip(came)
                    .all(|(wanted, came)| has(came, wanted, known))
        }
        other => came == other,
    }
}

/// Holds every conversation of a page.
async fn hold(page: &str, mut known: Known) {
    let mut conversations = 0;
    for block in page.split("```conversation ").skip(1) {
        let block = block.split("```").next().unwrap();
        let (path, lines) = block.split_once('\n').unwrap();
        let secret = format!("auth.jwt.secret={SECRET}");
        // No second sample of the machine comes in between.
        let running = Running::start(&[&secret, "producer.monitor.interval=1h"]).await;
        let (_, library) = running
            .post("/v1/libraries", &json!({ "name": "Papers" }))
            .await;
        known.insert(
            "library".to_owned(),
            library["id"].as_str().unwrap().to_owned(),
        );
        let mut client = running.client(&filled(path, &known)).await;
        for line in lines.lines() {
            match line.split_at_checked(2) {
                Some(("> ", text)) => client.send(&filled(text, &known)).await,
                Some(("< ", text)) => {
                    let wanted = serde_json::from_str(&filled(text, &known)).unwrap();
                    let came = client.next().await;
                    assert!(has(&came, &wanted, &mut known), "{came}\nis not\n{wanted}");
                }
                _ => panic!("neither sent nor received: {line}"),
            }
        }
        known.remove("document");
        conversations += 1;
        running.gateway.drain().await;
    }
    assert!(conversations > 1);
}

#[tokio::test]
async fn the_library_converses_as_its_page_says() {
    hold(
        include_str!("../../../docs/protocols/library.md"),
        Known::new(),
    )
    .await;
}

#[tokio::test]
async fn assist_converses_as_its_page_says() {
    let known = Known::from([
        ("user_token".to_owned(), token("ann", "user")),
        ("admin_token".to_owned(), token("root", "admin")),
    ]);
    hold(include_str!("../../../docs/protocols/assist.md"), known).await;
}
