//! Transcripts of the assist dialect.

use super::*;
use crate::auth::{Role, Subject};
use crate::drain::Drain;
use crate::face::ws::Crowd;
use crate::face::ws::transcript::{Transcript, event};
use crate::hub::{self, Hub};
use crate::store::Store;
use crate::topic::Class;

fn crowd() -> Crowd {
    let defaults: toml::Table =
        toml::from_str(include_str!("../../../../config/tidings.toml")).unwrap();
    let store = Store::open(defaults["store"].clone().try_into().unwrap()).unwrap();
    let config = defaults["hub"].clone().try_into().unwrap();
    let drain = Drain::new();
    let hub = Hub::new(config, store, drain.clone(), hub::Metrics::default());
    let face = &defaults["face"]["ws"]["assistant"];
    Crowd::new(face.clone().try_into().unwrap(), hub, &drain)
}

fn principal(role: Role) -> Arc<Principal> {
    Arc::new(Principal {
        subject: Subject::User("ann".into()),
        role,
        ..Principal::anyone()
    })
}

/// A client that is in, and what it was told on the way.
async fn inside(crowd: &Crowd, role: Role) -> (Transcript, Vec<String>) {
    let mut client = Transcript::begin(begin, "");
    client.text(r#"{"type":"auth","token":"t"}"#);
    client.answer(ENTERING, Answer::Admitted(Ok(principal(role))));
    client.said();
    let entered = AssistAnswer::Entered(Box::new(crowd.enter("ann").await));
    client.answer(ENTERING, Answer::Assist(entered));
    let said = client.said();
    (client, said)
}

#[test]
fn a_client_has_five_seconds_to_show_a_token() {
    let mut client = Transcript::begin(begin, "");
    assert_eq!(client.said(), ["wake at 5s"]);
    client.pass(5).input(Input::Tick);
    assert_eq!(client.said(), ["close 1008: Authentication required"]);
    for first in [
        "{",
        "{}",
        r#"{"type":"ping"}"#,
        r#"{"type":"auth","token":1}"#,
    ] {
        let mut client = Transcript::begin(begin, "");
        client.said();
        client.text(first);
        assert_eq!(client.said(), ["close 1008: Authentication required"]);
    }
}

#[test]
fn a_refused_token_closes_and_says_why_and_is_never_printed() {
    let mut client = Transcript::begin(begin, "");
    client.said();
    client
        .text(r#"{"type":"auth","token":"secret"}"#)
        .binary(b"x");
    let said = client.said();
    assert_eq!(said.last().unwrap(), "close 1008: Authentication required");
    let mut client = Transcript::begin(begin, "");
    client.text(r#"{"type":"auth","token":"secret"}"#);
    client.said();
    client.answer(ENTERING, Answer::Admitted(Err(Refusal::Revoked)));
    let said = client.said();
    assert_eq!(
        said,
        ["close 1008: Authentication failed: the credential was revoked"]
    );
}

#[tokio::test]
async fn users_follow_their_documents_and_administrators_their_rooms_as_well() {
    let crowd = crowd();
    let (_, said) = inside(&crowd, Role::User).await;
    assert!(said[0].contains(r#""status":"connected""#), "{said:?}");
    assert_eq!(
        said[1..],
        [
            "follow documents:ann from Oldest",
            "follow system:alerts from Head"
        ]
    );
    let (_, said) = inside(&crowd, Role::Admin).await;
    let rooms = said.iter().filter(|line| line.starts_with("follow room:"));
    assert_eq!(rooms.count(), 3, "{said:?}");
}

#[tokio::test]
async fn what_was_read_is_not_told_on_the_next_connection() {
    let crowd = crowd();
    let (mut client, _) = inside(&crowd, Role::User).await;
    let told = event(
        "documents:ann",
        3,
        "document_processing_start",
        Class::Fact,
        "{}",
    );
    client.event(&told, true);
    let said = client.said();
    assert!(
        said[0].starts_with(r#"{"type":"document_processing_start""#),
        "{said:?}"
    );
    let (_, said) = inside(&crowd, Role::User).await;
    assert!(
        said[1].starts_with("follow documents:ann from Since"),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_waited_for_longer_than_a_day_is_not_told() {
    let crowd = crowd();
    let (mut client, _) = inside(&crowd, Role::User).await;
    let old = event(
        "documents:ann",
        1,
        "document_processing_start",
        Class::Fact,
        "{}",
    );
    client.pass(25 * 3600).event(&old, false);
    assert!(client.said().is_empty());
    client.event(&old, true);
    assert_eq!(client.said().len(), 1);
}
