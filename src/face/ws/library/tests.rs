//! Transcripts of the library dialect.

use super::*;
use crate::document::DocumentId;
use crate::face::library::Watchers;
use crate::face::ws::transcript::{Transcript, event};
use crate::store::documents;
use crate::topic::Class;

const ID: &str = "8179ce48-fd2b-4141-9ab0-9cfba4f6848b";
const DOCUMENT: &str = "20fc54b4-ba48-43e8-8e48-4800e71f7765";

fn entered() -> Answer {
    let watching = Watchers::default().watch(ID.parse().unwrap());
    Answer::Library(Ok(LibraryAnswer::Entered(watching)))
}

fn did(data: Value, seq: Option<u64>) -> Answer {
    let seq = seq.map(Seq);
    Answer::Library(Ok(LibraryAnswer::Did { data, seq }))
}

fn inside() -> Transcript {
    let mut client = Transcript::begin(begin, ID);
    client.said();
    client.answer(ENTERING, entered());
    client.said();
    client
}

fn request(action: &str, data: &Value) -> String {
    json!({ "type": "request", "action": action, "request_id": "r1", "data": data }).to_string()
}

fn failure(client: &mut Transcript) -> String {
    let said = client.said();
    assert_eq!(said.len(), 1, "{said:?}");
    let response: Value = serde_json::from_str(&said[0]).unwrap();
    assert_eq!(response["type"], "response");
    assert_eq!(
        (&response["success"], &response["data"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(response["request_id"], "r1");
    response["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_client_is_welcomed_before_anything_else() {
    let mut client = Transcript::begin(begin, ID);
    let said = client.said().join("\n");
    assert!(
        said.starts_with("ask 0: Library(") && said.contains("Enter"),
        "{said}"
    );
    client.text(&request("subscribe", &json!({})));
    assert!(client.said().is_empty());
    client.answer(ENTERING, entered());
    let said = client.said();
    assert_eq!(said[0], format!("follow library:{ID} from Head"));
    let welcome = format!(
        r#"{{"connection_id":"c1","message":"Connected to library {ID}","type":"system"}}"#
    );
    assert_eq!(said[1], welcome);
    assert!(
        said[2].contains("Already subscribed to library events"),
        "{said:?}"
    );
}

#[test]
fn a_library_that_is_not_there_closes_with_its_name() {
    let mut client = Transcript::begin(begin, ID);
    client.said();
    let unknown = documents::Error::LibraryUnknown(ID.parse().unwrap());
    client.answer(ENTERING, Answer::Library(Err(unknown.into())));
    assert_eq!(
        client.said(),
        [format!("close 1008: Library {ID} not found")]
    );
    for id in ["x", "../../etc/passwd", "a\0b", "漢字"] {
        let said = Transcript::begin(begin, id).said();
        assert_eq!(said, [format!("close 1008: Library {id} not found")]);
    }
    let said = Transcript::since(begin, ID, Some("nonsense")).said();
    assert!(said[1].starts_with("close 1008: "), "{said:?}");
}

#[test]
fn requests_are_asked_and_answered() {
    let mut client = inside();
    client.text(&request("search", &json!({ "query_text": "AI", "k": 5 })));
    let said = client.said();
    assert!(
        said[0].contains(r#"Search(Search { query: "AI", k: 5 })"#),
        "{said:?}"
    );
    client.answer(1, did(json!({ "results": [] }), None));
    assert_eq!(
        client.said(),
        [
            r#"{"data":{"results":[]},"error":null,"request_id":"r1","success":true,"type":"response"}"#
        ]
    );
    client.text(&request("get", &json!({ "document_id": DOCUMENT })));
    client.said();
    let unknown = documents::Error::DocumentUnknown(DocumentId(uuid::Uuid::nil()));
    client.answer(2, Answer::Library(Err(unknown.into())));
    assert_eq!(failure(&mut client), "Document not found");
}

#[test]
fn what_is_missing_or_wrong_is_said_in_the_words_of_the_application() {
    let mut client = inside();
    for (action, data, error) in [
        ("search", json!({}), "query_text is required"),
        (
            "search",
            json!({ "query_text": "" }),
            "query_text is required",
        ),
        (
            "search",
            json!({ "query_text": 7 }),
            "query_text must be a string",
        ),
        (
            "search",
            json!({ "query_text": "a", "k": "x" }),
            "k must be a whole number above 0",
        ),
        (
            "search",
            json!({ "query_text": "a", "k": -1 }),
            "k must be a whole number above 0",
        ),
        ("add", json!({ "title": "t" }), "text is required"),
        (
            "add",
            json!({ "text": "a", "metadata": [] }),
            "metadata must be an object",
        ),
        ("get", json!({}), "document_id is required"),
        ("delete", json!({}), "document_id is required"),
        (
            "get",
            json!({ "document_id": "../../etc" }),
            "Invalid document_id format",
        ),
        (
            "delete",
            json!({ "document_id": 5 }),
            "Invalid document_id format",
        ),
        ("fly", json!({}), "Unknown action: fly"),
    ] {
        client.text(&request(action, &data));
        assert_eq!(failure(&mut client), error);
    }
}

#[test]
fn a_message_that_is_no_request_is_an_error_and_the_connection_stays() {
    let mut client = inside();
    for text in [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{}",
        r#"{"type":"event","action":"get","request_id":"1","data":{}}"#,
        r#"{"action":7,"request_id":"1","data":{}}"#,
        r#"{"action":"get","request_id":1,"data":{}}"#,
        r#"{"action":"get","request_id":"1","data":[]}"#,
    ] {
        client.text(text);
    }
    client.binary(b"\0\xff");
    let said = client.said();
    assert_eq!(said.len(), 11);
    for line in said {
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["type"], "error");
        assert_eq!(message["error"], "Invalid message format");
        assert!(!message["details"].as_str().unwrap().is_empty());
    }
}

#[test]
fn ones_own_response_comes_before_the_event_it_caused() {
    let topic = format!("library:{ID}");
    let told = |seq| {
        event(
            &topic,
            seq,
            "document.added",
            Class::Fact,
            r#"{"timestamp":1}"#,
        )
    };
    let mut client = inside();
    let add = request("add", &json!({ "text": "x" }));
    client.text(&add).text(&add);
    client.said();
    client
        .event(&told(1), true)
        .event(&told(2), true)
        .event(&told(3), true);
    assert!(client.said().is_empty(), "they wait");
    client.answer(1, did(json!({}), Some(2)));
    let said = client.said();
    assert_eq!(said.len(), 3);
    assert!(said[0].contains(r#""type":"response""#), "{said:?}");
    let want = format!(
        r#"{{"type":"event","event_type":"document.added","library_id":"{ID}","data":{{"timestamp":1,"_seq":1,"_epoch":"e"}}}}"#
    );
    assert_eq!(said[1], want);
    client.answer(2, did(json!({}), Some(3)));
    assert_eq!(client.said().len(), 2);
    client.event(&told(4), true);
    assert_eq!(client.said().len(), 1);
}

#[test]
fn events_that_wait_are_few_and_go_out_at_the_drain() {
    let topic = format!("library:{ID}");
    let told = |seq| event(&topic, seq, "document.added", Class::Fact, "{}");
    let mut client = inside();
    client.text(&request("add", &json!({ "text": "x" })));
    client.said();
    for seq in 0..HELD_MAX as u64 {
        client.event(&told(seq + 1), true);
    }
    assert!(client.said().is_empty());
    client.event(&told(2000), true);
    assert_eq!(client.said().len(), HELD_MAX + 1);
    client.event(&told(2001), true);
    client.input(Input::Drain);
    assert_eq!(client.said().len(), 1);
}
