//! The engine's id of a session in the hands of somebody else.

use super::*;

/// A client on polling.
struct Polling<'a> {
    guarded: &'a Guarded,
    agent: &'static str,
    bearer: Option<String>,
}

impl Polling<'_> {
    fn request(&self, method: &str, sid: Option<&str>) -> reqwest::RequestBuilder {
        let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
        let url = self
            .guarded
            .url(&format!("/socket.io/?EIO=4&transport=polling{sid}"));
        let method = method.parse().unwrap();
        let request = self
            .guarded
            .http
            .request(method, url)
            .header("user-agent", self.agent);
        match &self.bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get(&self, sid: Option<&str>) -> (u16, String) {
        let response = self.request("GET", sid).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    async fn post(&self, sid: &str, body: &str) -> u16 {
        let request = self.request("POST", Some(sid)).body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    }

    /// Opens a session and joins. Returns the engine's id.
    async fn open(&self) -> String {
        let (status, said) = self.get(None).await;
        assert_eq!(status, 200, "{said}");
        let handshake: Value = serde_json::from_str(&said[1..]).unwrap();
        let sid = handshake["sid"].as_str().unwrap().to_owned();
        assert_eq!(self.post(&sid, "40").await, 200);
        let (_, said) = self.get(Some(&sid)).await;
        assert!(said.contains("40{"), "{said}");
        sid
    }
}

#[tokio::test]
async fn a_stolen_session_id_opens_nothing() {
    let guarded = Guarded::start(&[]).await;
    let of = |agent, bearer: Option<String>| Polling {
        guarded: &guarded,
        agent,
        bearer,
    };
    let victim = of("victim/1", Some(user("ann")));
    let sid = victim.open().await;
    for thief in [
        of("thief/1", None),
        of("victim/1", None),
        of("victim/1", Some(user("bob"))),
        of("victim/1", Some("nonsense".to_owned())),
        of("thief/1", Some(user("ann"))),
    ] {
        assert_eq!(
            thief.post(&sid, r#"42["subscribe","documents:ann"]"#).await,
            400
        );
        assert_eq!(
            thief.post(&sid, "1").await,
            400,
            "it cannot close it either"
        );
        let (status, said) = thief.get(Some(&sid)).await;
        assert_eq!(
            (status, said.contains("Session ID unknown")),
            (400, true),
            "{said}"
        );
    }
    let path = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    let bearer = format!("Bearer {}", user("bob"));
    for headers in [
        vec![],
        vec![("user-agent", "thief/1")],
        vec![("user-agent", "victim/1")],
        vec![
            ("user-agent", "victim/1"),
            ("authorization", bearer.as_str()),
        ],
    ] {
        assert!(
            guarded.websocket(&path, &headers).await.is_err(),
            "{headers:?}"
        );
    }
    unaffected(&guarded, &victim, &sid).await;
    guarded.gateway.drain().await;
}

/// The victim noticed nothing: it goes on polling, with a newer token too, and switches.
async fn unaffected(guarded: &Guarded, victim: &Polling<'_>, sid: &str) {
    let renewed = Polling {
        guarded,
        agent: "victim/1",
        bearer: Some(user("ann")),
    };
    let path = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    assert_eq!(
        renewed
            .post(sid, r#"421["subscribe","documents:ann"]"#)
            .await,
        200
    );
    let (status, said) = victim.get(Some(sid)).await;
    assert_eq!(
        (status, said.contains("\"ok\":true")),
        (200, true),
        "{said}"
    );
    let bearer = format!("Bearer {}", user("ann"));
    let own = [
        ("user-agent", "victim/1"),
        ("authorization", bearer.as_str()),
    ];
    let mut switched = guarded.websocket(&path, &own).await.unwrap();
    switched.say("2probe").await;
    switched.until("3probe").await;
    switched.say("5").await;
    assert_eq!(
        switched.ask(2, "subscribe", &json!("documents:ann")).await["ok"],
        true
    );

    // On its websocket the id is worth nothing at all.
    assert!(victim.get(Some(sid)).await.0 == 400);
    assert_eq!(victim.post(sid, "1").await, 400);
    if let Ok(mut second) = guarded.websocket(&path, &own).await {
        second.last_words().await;
    }
    assert_eq!(
        switched.ask(3, "subscribe", &json!("documents:ann")).await["ok"],
        true
    );
}

#[tokio::test]
async fn a_session_to_recover_belongs_to_its_user() {
    let guarded = Guarded::start(&[]).await;
    guarded.publish("session:a", Some("ann")).await;
    let claims = |token: &str, more: Value| {
        let mut auth = more;
        auth["token"] = json!(token);
        auth
    };
    let ann = user("ann");
    let mut first = guarded
        .connect(&claims(&ann, json!({"recovery": true})))
        .await;
    let connected = first.until("40{").await;
    let connected: Value = serde_json::from_str(&connected[2..]).unwrap();
    let pid = connected["pid"].as_str().expect("a session").to_owned();
    assert_eq!(first.ask(1, "subscribe", &json!("a")).await["ok"], true);
    let offset = {
        guarded.publish("session:a", None).await;
        let event = first.until("42[\"progress\"").await;
        let event: Value = serde_json::from_str(&event[2..]).unwrap();
        event.as_array().unwrap().last().unwrap().clone()
    };
    let more = json!({"recovery": true, "pid": pid, "offset": offset});
    let mut thief = guarded.connect(&claims(&user("bob"), more.clone())).await;
    let said = thief.until("40{").await;
    assert!(!said.contains(&pid), "{said}");
    assert_eq!(
        first.ask(2, "subscribe", &json!("documents:ann")).await["ok"],
        true
    );
    drop(first);
    let mut again = guarded.connect(&claims(&ann, more)).await;
    assert!(again.until("40{").await.contains(&pid));
    guarded.gateway.drain().await;
}
