//! Pages of other origins.

use super::*;

const LIST: &str = r#"face.http.cors_origins=["https://app.example"]"#;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, read from top to bottom")]
async fn foreign_pages_are_refused_at_every_upgrade_and_poll() {
    let gateway = Guarded::open(vec![LIST.to_owned()]).await;
    let own = format!("http://{}", gateway.gateway.local_addr());
    let port = gateway.gateway.local_addr().port();
    let beside = format!("http://localhost:{port}");
    for origin in [
        "https://evil.example",
        "null",
        "file://",
        "http://app.example",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "https://app.example@evil.example",
        "https://xapp.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        &beside,
        "https://evil.example, https://app.example",
        "chrome-extension://abc",
        "https://",
        "app.example",
    ] {
        let header = [("origin", origin)];
        for path in [
            "/socket.io/?EIO=4&transport=websocket",
            "/socket.io/?EIO=3&transport=websocket",
            "/socket.io-msgpack/?EIO=4&transport=websocket",
            "/ws/a",
            "/ws/scan/a",
            "/progress/ws/a",
            "/v1/libraries/a/ws",
            "/ws/connect",
        ] {
            match gateway.websocket(path, &header).await {
                Err(Error::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
                other => panic!("{origin} {path}: {}", other.is_ok()),
            }
        }
        for path in [
            "/socket.io/?EIO=4&transport=polling",
            "/socket.io/?EIO=4&transport=polling&sid=stolen",
            "/v1/topics",
            "/v1/topics/session:a/events",
            "/v1/events/stream",
        ] {
            let request = gateway.http.get(gateway.url(path)).header("origin", origin);
            assert_eq!(
                request.send().await.unwrap().status(),
                403,
                "{origin} {path}"
            );
        }
        let request = gateway
            .http
            .post(gateway.url("/v1/topics/session:a/events"));
        let request = request.header("origin", origin).body(r#"{"name":"a"}"#);
        assert_eq!(request.send().await.unwrap().status(), 403, "{origin}");
    }
    for origin in ["https://app.example", own.as_str()] {
        let header = [("origin", origin)];
        gateway.open_socket(&header).await.unwrap().until("0").await;
        gateway.websocket("/ws/a", &header).await.unwrap();
        let request = gateway
            .http
            .get(gateway.url("/v1/topics"))
            .header("origin", origin);
        assert_eq!(request.send().await.unwrap().status(), 200, "{origin}");
    }
    gateway.open_socket(&[]).await.unwrap().until("0").await;
    // A name that somebody has pointed at this machine.
    let rebound = [("origin", "http://evil.example"), ("host", "evil.example")];
    assert!(gateway.open_socket(&rebound).await.is_err());
    gateway.gateway.drain().await;
}
