mod issuer;

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::*;
use crate::auth::{Issue, Role, Secret, SigningKey};

const SECRET: &str = "a secret that is long enough for HS256";
const MINUTE: Duration = Duration::from_mins(1);
const NOW: i64 = 1_800_000_000;

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/keys")
        .join(name)
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

fn config() -> Jwt {
    let text = include_str!("../../../config/tidings.toml");
    let table: toml::Table = text.parse().unwrap();
    table["auth"]["jwt"].clone().try_into().unwrap()
}

fn verifier(config: &Jwt) -> Verifier {
    Verifier::new(Keys::open(config).unwrap().unwrap(), config, 8192)
}

fn of_secret() -> Verifier {
    verifier(&Jwt {
        secret: Some(Secret::from(SECRET.to_owned())),
        ..config()
    })
}

fn of_file(name: &str) -> Verifier {
    verifier(&Jwt {
        public_key_file: Some(key_file(name)),
        ..config()
    })
}

/// A token with any header and claims, signed like HS256 with any secret.
fn forged(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn hs256(claims: &Value) -> String {
    forged(
        &json!({"alg": "HS256", "typ": "JWT"}),
        claims,
        SECRET.as_bytes(),
    )
}

fn good() -> Value {
    json!({"sub": "ann", "exp": NOW + 60})
}

/// The good claims with one more or another one.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

#[test]
fn each_family_of_algorithms_is_taken_with_its_own_key() {
    let issue = Issue {
        sub: "ann".to_owned(),
        role: Some("admin".to_owned()),
        sub_topics: None,
        pub_topics: None,
        iss: None,
        aud: None,
    };
    let now = jiff::Timestamp::now().as_second();
    for name in ["rsa", "ec256", "ec384", "ed"] {
        let key = SigningKey::of_pem(&pem(&format!("{name}.pem"))).unwrap();
        let token = issue.sign(&key, MINUTE).unwrap();
        for other in ["rsa", "ec256", "ec384", "ed"] {
            let verified = of_file(&format!("{other}.pub.pem")).verify(&token, now);
            assert_eq!(
                verified.is_ok(),
                other == name,
                "{name} with {other}: {verified:?}"
            );
        }
        assert!(of_secret().verify(&token, now).is_err());
    }
    let token = issue.sign(&SigningKey::of_secret(&SECRET.to_owned().into()), MINUTE);
    let principal = of_secret().verify(&token.unwrap(), now).unwrap();
    assert_eq!(
        (principal.user(), principal.role),
        (Some("ann"), Role::Admin)
    );
    assert!(principal.expires_at.unwrap() >= now + 60);
}

#[test]
fn a_token_that_says_how_it_is_signed_is_not_believed() {
    let claims = good();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS1", "hs256", "RS256", "ES256K", "HS256 ",
    ] {
        let header = json!({"alg": alg});
        let token = forged(&header, &claims, SECRET.as_bytes());
        assert!(of_secret().verify(&token, NOW).is_err(), "{alg}");
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert!(
            of_secret().verify(&format!("{signed}."), NOW).is_err(),
            "{alg}"
        );
        assert!(of_secret().verify(signed, NOW).is_err(), "{alg}");
    }
    // The public key is no secret.
    for name in ["rsa.pub.pem", "ec256.pub.pem", "ed.pub.pem"] {
        let header = json!({"alg": "HS256"});
        let public = pem(name);
        let trimmed = public.trim_ascii_end();
        for secret in [&public[..], trimmed] {
            let token = forged(&header, &claims, secret);
            assert_eq!(
                of_file(name).verify(&token, NOW),
                Err(TokenError::Algorithm)
            );
        }
    }
}

#[test]
fn what_a_header_offers_is_not_used() {
    let secret = SECRET.as_bytes();
    for kid in [
        "../../dev/null",
        "/dev/null",
        "' UNION SELECT 'x",
        "|id",
        "",
        "http://evil.example/",
    ] {
        let token = forged(&json!({"alg": "HS256", "kid": kid}), &good(), b"");
        assert_eq!(
            of_secret().verify(&token, NOW),
            Err(TokenError::Signature),
            "{kid}"
        );
        let token = forged(&json!({"alg": "HS256", "kid": kid}), &good(), secret);
        assert!(
            of_secret().verify(&token, NOW).is_ok(),
            "there is one key, whatever it is called"
        );
    }
    let offered = "an attacker's own secret of some length";
    for header in [
        json!({"alg": "HS256", "jku": "https://evil.example/jwks.json"}),
        json!({"alg": "HS256", "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode(offered)}}),
        json!({"alg": "HS256", "x5u": "https://evil.example/c.pem"}),
    ] {
        let token = forged(&header, &good(), offered.as_bytes());
        assert_eq!(of_secret().verify(&token, NOW), Err(TokenError::Signature));
    }
    for header in [
        json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        json!({"alg": ["HS256"]}),
        json!({"alg": null}),
        json!({"alg": "HS256", "kid": 5}),
        json!({"alg": "HS256", "kid": ["a"]}),
        json!(["HS256"]),
        json!({}),
    ] {
        let token = forged(&header, &good(), secret);
        let refused = of_secret().verify(&token, NOW);
        assert!(
            matches!(refused, Err(TokenError::Malformed(_))),
            "{header} {refused:?}"
        );
    }
}

#[test]
fn claims_are_exactly_typed() {
    assert!(of_secret().verify(&hs256(&good()), NOW).is_ok());
    for (name, value) in [
        ("exp", json!((NOW + 60).to_string())),
        ("exp", json!(null)),
        ("exp", json!(true)),
        ("exp", json!([NOW + 60])),
        ("exp", json!({"$gt": 0})),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("nbf", json!("0")),
        ("nbf", json!(null)),
        ("iat", json!("now")),
        ("sub", json!(5)),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!(["ann"])),
        ("sub", json!({"id": "ann"})),
        ("sub", json!("a\nb")),
        ("sub", json!("a".repeat(256))),
        ("jti", json!(1)),
        ("role", json!(["admin"])),
        ("role", json!(true)),
        ("email", json!({})),
        ("sub_topics", json!("session:a")),
        ("sub_topics", json!(null)),
        ("sub_topics", json!([5])),
        ("sub_topics", json!(["sess*"])),
        ("sub_topics", json!({"0": "*"})),
        ("pub_topics", json!(["session:../a"])),
        ("aud", json!(5)),
        ("iss", json!([])),
    ] {
        let refused = of_secret().verify(&hs256(&with(name, value.clone())), NOW);
        assert!(
            matches!(refused, Err(TokenError::Claims(_))),
            "{name} {value}: {refused:?}"
        );
    }
}

#[test]
fn claims_are_one_object_with_one_of_each() {
    let secret = SECRET.as_bytes();
    let header = json!({"alg": "HS256"});
    for claims in [
        json!([]),
        json!([
            "ann",
            NOW + 60,
            null,
            null,
            null,
            "admin",
            null,
            null,
            null,
            null,
            null
        ]),
        json!("sub"),
        json!({"sub": "ann"}),
        json!({"exp": NOW + 60}),
    ] {
        assert!(
            of_secret()
                .verify(&forged(&header, &claims, secret), NOW)
                .is_err()
        );
    }
    let part = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"ann","sub":"bob","exp":{}}}"#, NOW + 60));
    let signed = format!("{}.{part}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    assert!(
        of_secret()
            .verify(&format!("{signed}.{signature}"), NOW)
            .is_err(),
        "two subjects"
    );
}

#[test]
fn time_is_kept_with_five_seconds_of_leeway() {
    let exp = |offset| hs256(&json!({"sub": "ann", "exp": NOW + offset}));
    assert!(of_secret().verify(&exp(-4), NOW).is_ok());
    assert_eq!(of_secret().verify(&exp(-5), NOW), Err(TokenError::Expired));
    for name in ["nbf", "iat"] {
        assert!(
            of_secret()
                .verify(&hs256(&with(name, json!(NOW + 5))), NOW)
                .is_ok()
        );
        let early = hs256(&with(name, json!(NOW + 6)));
        assert_eq!(of_secret().verify(&early, NOW), Err(TokenError::NotYet));
    }
    let fraction = hs256(&with("exp", json!(1_800_000_060.5)));
    assert_eq!(
        of_secret().verify(&fraction, NOW).unwrap().expires_at,
        Some(NOW + 60)
    );
}

#[test]
fn issuer_and_audience_are_compared() {
    let ours = verifier(&Jwt {
        secret: Some(Secret::from(SECRET.to_owned())),
        issuer: Some("https://id.example".to_owned()),
        audience: Some("tidings".to_owned()),
        ..config()
    });
    let claims = |iss: &str, aud: Value| {
        hs256(&json!({"sub": "ann", "exp": NOW + 60, "iss": iss, "aud": aud}))
    };
    assert!(
        ours.verify(&claims("https://id.example", json!("tidings")), NOW)
            .is_ok()
    );
    assert!(
        ours.verify(&claims("https://id.example", json!(["x", "tidings"])), NOW)
            .is_ok()
    );
    let other = ours.verify(&claims("https://id.example.evil", json!("tidings")), NOW);
    assert_eq!(other, Err(TokenError::Issuer));
    let other = ours.verify(&claims("https://id.example", json!("tidings2")), NOW);
    assert_eq!(other, Err(TokenError::Audience));
    assert_eq!(ours.verify(&hs256(&good()), NOW), Err(TokenError::Issuer));
    let for_somebody = hs256(&with("aud", json!("other")));
    assert_eq!(
        of_secret().verify(&for_somebody, NOW),
        Err(TokenError::Audience)
    );
}

#[test]
fn what_is_no_token_is_refused() {
    let token = hs256(&good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b.c".to_owned(),
        signed.to_owned(),
        format!("{token}."),
        format!("{token}.x"),
        format!(" {token}"),
        format!("{signed}.{signature}="),
        format!("{signed}.{}", &signature[1..]),
        token.replace('.', ".."),
        "é.é.é".to_owned(),
    ] {
        assert!(of_secret().verify(&text, NOW).is_err(), "{text}");
    }
    let long = hs256(&with("more", json!("x".repeat(9000))));
    assert_eq!(of_secret().verify(&long, NOW), Err(TokenError::TooLong));
    let short = Jwt {
        secret: Some(Secret::from("short".to_owned())),
        ..config()
    };
    assert!(Keys::open(&short).is_err());
    let private = Jwt {
        public_key_file: Some(key_file("rsa.pem")),
        ..config()
    };
    assert!(
        Keys::open(&private).is_err(),
        "a private key does not belong here"
    );
}
