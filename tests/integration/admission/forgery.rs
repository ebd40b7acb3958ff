//! Tokens that nobody issued, on every face that takes one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::*;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with any header and claims, signed like HS256 with any secret.
fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// What an administrator's token says, with one claim more or another one.
fn claims(name: &str, value: Value) -> Value {
    let mut claims = json!({"sub": "root", "role": "admin", "exp": now() + 600});
    claims[name] = value;
    claims
}

/// Tokens that say who somebody would like to be.
fn forgeries(public_key: &[u8]) -> Vec<String> {
    let (good, hs256) = (claims("iat", json!(now())), json!({"alg": "HS256"}));
    let secret = SECRET.as_bytes();
    let mut forged = Vec::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS0", "hs256", "RS256", "ES256", "EdDSA",
    ] {
        let token = signed(&json!({"alg": alg}), &good, secret);
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        forged.extend([format!("{unsigned}."), unsigned.to_owned(), token.clone()]);
    }
    for other in [
        &b""[..],
        b"secret",
        b"\0",
        public_key,
        public_key.trim_ascii_end(),
    ] {
        forged.push(signed(&hs256, &good, other));
    }
    for kid in [
        "../../../dev/null",
        "/dev/null",
        "0",
        "' OR 1=1 --",
        "http://127.0.0.1:1/k",
    ] {
        forged.push(signed(&json!({"alg": "HS256", "kid": kid}), &good, b""));
    }
    let own = "a secret of somebody else, of some length";
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(own)});
    for header in [
        json!({"alg": "HS256", "jwk": jwk}),
        json!({"alg": "HS256", "jku": "http://127.0.0.1:1/jwks.json"}),
        json!({"alg": "HS256", "x5u": "http://127.0.0.1:1/cert.pem"}),
        json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        json!({"alg": ["HS256", "none"]}),
        json!(["HS256"]),
    ] {
        forged.push(signed(&header, &good, own.as_bytes()));
    }
    for (name, value) in [
        ("exp", json!(now() - 60)),
        ("exp", json!((now() + 600).to_string())),
        ("exp", json!(null)),
        ("exp", json!({"$gt": 0})),
        ("nbf", json!(now() + 600)),
        ("iat", json!(now() + 600)),
        ("sub", json!(["root"])),
        ("sub", json!(0)),
        ("sub", json!("")),
        ("role", json!(["admin"])),
        ("sub_topics", json!("*")),
        ("aud", json!("somebody else")),
    ] {
        // Signed as it should be: what it says is not right.
        forged.push(signed(&hs256, &claims(name, value), secret));
    }
    let true_one = signed(&hs256, &claims("sub", json!("ann")), secret);
    let other_claims = part(&good);
    let parts: Vec<&str> = true_one.split('.').collect();
    forged.push(format!("{}.{other_claims}.{}", parts[0], parts[2]));
    forged
}

impl Guarded {
    /// No face lets in whoever shows this.
    async fn refuses(&self, token: &str) {
        let (status, said) = self.get("/v1/topics", Some(token)).await;
        assert_eq!(status, 401, "{token}: {said}");
        assert!(
            !said.to_string().contains(token) || token.len() < 20,
            "{said}"
        );
        let mut client = self.connect(&json!({"token": token})).await;
        client.until("44").await;
        for path in ["/ws/a", "/progress/ws/a", "/ws/scan/a"] {
            let path = format!("{path}?token={token}");
            assert!(self.websocket(&path, &[]).await.is_err(), "{token}");
        }
        let mut assist = self.websocket("/ws/connect", &[]).await.unwrap();
        assist
            .say(&json!({"type": "auth", "token": token}).to_string())
            .await;
        let said = assist.last_words().await.join(" ");
        assert!(!said.contains("connected"), "{token}: {said}");
    }
}

#[tokio::test]
async fn no_forged_token_opens_any_face() {
    let path = format!("{}/tests/keys/rsa.pub.pem", env!("CARGO_MANIFEST_DIR"));
    let public_key = std::fs::read(&path).unwrap();
    let forgeries = forgeries(&public_key);
    let by_secret = Guarded::start(&[]).await;
    let by_key = Guarded::open(vec![
        "auth.mode=token".to_owned(),
        format!("auth.jwt.public_key_file={path}"),
    ])
    .await;
    for token in &forgeries {
        by_secret.refuses(token).await;
        by_key.refuses(token).await;
    }
    assert_eq!(by_secret.get("/v1/topics", Some(&admin())).await.0, 200);
    by_secret.gateway.drain().await;
    by_key.gateway.drain().await;
}
