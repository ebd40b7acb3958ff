//! Every dialect, and what is bad in it.

/// A message, and a part of its answer.
type Bad = (&'static str, &'static str);

/// A dialect, and what is bad in it.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Where a client comes in.
    pub(super) path: String,
    /// Where a client comes in with an id, and the code that a bad one closes with.
    pub(super) ids: Option<(&'static str, u16)>,
    /// How many messages greet it.
    pub(super) greetings: usize,
    /// Messages of a wrong type, with unknown actions, with bad ids.
    pub(super) bad: &'static [Bad],
    /// What a client may ask again and again: the text, with `%n` for a number.
    pub(super) many: Bad,
}

const JOB_PROGRESS: [Bad; 4] = [
    (r#"{"type":7}"#, "takes no messages"),
    (r#"{"type":"dance"}"#, "takes no messages"),
    (r#"{"job_id":"../../etc/passwd"}"#, "takes no messages"),
    (r#"{"job_id":"a\u0000b"}"#, "takes no messages"),
];

const DIRECTORY_SCAN: [Bad; 12] = [
    ("{}", "`action` must be"),
    (r#"{"action":7}"#, "`action` must be"),
    (r#"{"action":"dance"}"#, "Unknown action: dance"),
    (r#"{"action":"scan"}"#, "Path required"),
    (r#"{"action":"scan","path":7}"#, "Path required"),
    (
        r#"{"action":"scan","path":"/d","recursive":1}"#,
        "`recursive` must be",
    ),
    (
        r#"{"action":"scan","path":"/d","page_size":-1}"#,
        "`page_size` must be",
    ),
    (
        r#"{"action":"scan","path":"/etc/passwd"}"#,
        "not below a directory",
    ),
    (
        r#"{"action":"scan","path":"../../etc"}"#,
        "not below a directory",
    ),
    (
        r#"{"action":"scan","path":"/d\u0000"}"#,
        "not below a directory",
    ),
    (
        r#"{"action":"scan","path":"/\u6f22"}"#,
        "not below a directory",
    ),
    (
        r#"{"action":"scan","path":"/\ud800"}"#,
        "Invalid JSON format",
    ),
];

const PROGRESS_CHANNEL: [Bad; 10] = [
    ("{}", "Invalid message format"),
    (r#"{"type":7}"#, "Invalid message format"),
    (r#"{"type":"dance"}"#, "Unknown message type: dance"),
    (r#"{"type":"subscribe"}"#, "job_id is required"),
    (r#"{"type":"subscribe","job_id":7}"#, "job_id is required"),
    (
        r#"{"type":"subscribe","job_id":"../../etc/passwd"}"#,
        "not found",
    ),
    (r#"{"type":"subscribe","job_id":"a\u0000b"}"#, "not found"),
    (r#"{"type":"subscribe","job_id":"\u6f22"}"#, "not found"),
    (r#"{"type":"subscribe","job_id":""}"#, "not found"),
    (
        r#"{"type":"subscribe","job_id":"none"}"#,
        "Job none not found",
    ),
];

const LIBRARY: [Bad; 13] = [
    ("{}", "Invalid message format"),
    (r#"{"type":7}"#, "Invalid message format"),
    (r#"{"type":"request"}"#, "Invalid message format"),
    (
        r#"{"type":"request","action":7,"request_id":"1"}"#,
        "Invalid message format",
    ),
    (
        r#"{"type":"request","action":"get","request_id":1}"#,
        "Invalid message format",
    ),
    (
        r#"{"action":"dance","request_id":"1"}"#,
        "Unknown action: dance",
    ),
    (
        r#"{"action":"search","request_id":"1"}"#,
        "query_text is required",
    ),
    (
        r#"{"action":"search","request_id":"1","data":{"query_text":"x","k":"many"}}"#,
        "k must be",
    ),
    (
        r#"{"action":"search","request_id":"1","data":{"query_text":"x","k":-1}}"#,
        "k must be",
    ),
    (
        r#"{"action":"add","request_id":"1","data":{"text":"x","metadata":7}}"#,
        "metadata must be",
    ),
    (
        r#"{"action":"get","request_id":"1","data":{"document_id":"../../x"}}"#,
        "Invalid document_id",
    ),
    (
        r#"{"action":"get","request_id":"1","data":{"document_id":"a\u0000b"}}"#,
        "Invalid document_id",
    ),
    (
        r#"{"action":"delete","request_id":"1","data":{"document_id":"\u6f22"}}"#,
        "Invalid document_id",
    ),
];

const ASSIST: [Bad; 9] = [
    ("{}", "`type` is missing"),
    (r#"{"type":7}"#, "`type` is missing"),
    (r#"{"type":"dance"}"#, "Unknown message type: dance"),
    (r#"{"type":"join_room"}"#, "Room name required"),
    (
        r#"{"type":"join_room","data":{"room":7}}"#,
        "Room name required",
    ),
    (
        r#"{"type":"join_room","data":{"room":"../x"}}"#,
        "not allowed",
    ),
    (
        r#"{"type":"join_room","data":{"room":"a\u0000b"}}"#,
        "not allowed",
    ),
    (
        r#"{"type":"join_room","data":{"room":"\u6f22"}}"#,
        "not allowed",
    ),
    (
        r#"{"type":"subscribe_document_updates","data":{"user_id":"../x"}}"#,
        "not allowed",
    ),
];

/// Every dialect.
pub(super) fn table(library: &str, token: &str) -> [Line; 5] {
    [
        Line {
            name: "job progress",
            path: "/ws/bystander".to_owned(),
            ids: Some(("/ws/", 1008)),
            greetings: 0,
            bad: &JOB_PROGRESS,
            many: (
                r#"{"type":"subscribe","job_id":"many-%n"}"#,
                "takes no messages",
            ),
        },
        Line {
            name: "directory scan",
            path: "/ws/scan/bystander".to_owned(),
            ids: Some(("/ws/scan/", 1008)),
            greetings: 0,
            bad: &DIRECTORY_SCAN,
            many: (r#"{"action":"scan","path":"/nowhere/%n"}"#, "\"error\""),
        },
        Line {
            name: "progress channel",
            path: "/progress/ws/bystander".to_owned(),
            ids: Some(("/progress/ws/", 1000)),
            greetings: 1,
            bad: &PROGRESS_CHANNEL,
            many: (
                r#"{"type":"subscribe","job_id":"many-%n"}"#,
                "face.ws.subscriptions_max",
            ),
        },
        Line {
            name: "library",
            path: format!("/v1/libraries/{library}/ws"),
            ids: Some(("/v1/libraries/", 1008)),
            greetings: 1,
            bad: &LIBRARY,
            many: (
                r#"{"action":"subscribe","request_id":"%n"}"#,
                "Already subscribed",
            ),
        },
        Line {
            name: "assist",
            path: format!("/ws/connect?token={token}"),
            ids: None,
            greetings: 4,
            bad: &ASSIST,
            many: (
                r#"{"type":"join_room","data":{"room":"many-%n"}}"#,
                "Rate limit exceeded",
            ),
        },
    ]
}
