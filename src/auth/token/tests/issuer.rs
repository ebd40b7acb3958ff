//! Keys of an issuer: found by id, each for its own algorithms, replaced as a whole.

use jsonwebtoken::Header as Signed;

use super::*;

fn signing_key(name: &str, algorithm: Algorithm) -> EncodingKey {
    let pem = pem(name);
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem),
        _ => EncodingKey::from_ec_pem(&pem),
    };
    key.unwrap()
}

/// A good token that names its key.
fn signed(name: &str, algorithm: Algorithm, kid: Option<&str>) -> String {
    let mut header = Signed::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, &good(), &signing_key(name, algorithm)).unwrap()
}

/// The public half of a key, as an issuer publishes it.
fn jwk(name: &str, algorithm: Algorithm, kid: &str) -> Value {
    let key = signing_key(name, algorithm);
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, algorithm).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!(kid);
    jwk
}

#[test]
fn an_issuers_keys_are_found_by_id_and_rotate() {
    let verifier = verifier(&Jwt {
        jwks_url: Some("https://id.example/jwks.json".to_owned()),
        ..config()
    });
    let (rsa, ec) = (
        jwk("rsa.pem", Algorithm::RS256, "r1"),
        jwk("ec256.pem", Algorithm::ES256, "e1"),
    );
    let token = signed("rsa.pem", Algorithm::RS256, Some("r1"));
    assert_eq!(verifier.verify(&token, NOW), Err(TokenError::KeyUnknown));

    let secret = json!({"kty": "oct", "kid": "s1", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let sealing = json!({"kty": "RSA", "kid": "x1", "use": "enc", "n": rsa["n"], "e": rsa["e"]});
    let document = json!({"keys": [secret, rsa, ec, sealing, {"kty": "new"}, 5]});
    assert_eq!(verifier.keys.install(&document.to_string()), Ok(2));
    assert!(verifier.verify(&token, NOW).is_ok());
    assert!(
        verifier
            .verify(&signed("ec256.pem", Algorithm::ES256, Some("e1")), NOW)
            .is_ok()
    );
    for (forged, why) in [
        (
            signed("rsa.pem", Algorithm::RS256, None),
            TokenError::KeyUnknown,
        ),
        (
            signed("rsa.pem", Algorithm::RS256, Some("r2")),
            TokenError::KeyUnknown,
        ),
        (
            signed("rsa.pem", Algorithm::RS256, Some("x1")),
            TokenError::KeyUnknown,
        ),
        (
            signed("rsa.pem", Algorithm::RS256, Some("e1")),
            TokenError::Algorithm,
        ),
        (
            signed("ec256.pem", Algorithm::ES256, Some("r1")),
            TokenError::Algorithm,
        ),
        (
            forged(
                &json!({"alg": "HS256", "kid": "s1"}),
                &good(),
                SECRET.as_bytes(),
            ),
            TokenError::KeyUnknown,
        ),
    ] {
        assert_eq!(verifier.verify(&forged, NOW), Err(why));
    }

    rotates(&verifier, &document, &token);
    let only = signed("ec256.pem", Algorithm::ES256, None);
    assert!(
        verifier.verify(&only, NOW).is_ok(),
        "the only key needs no id"
    );
}

/// Documents that are none change nothing; the next one takes the place of the last.
fn rotates(verifier: &Verifier, document: &Value, token: &str) {
    for broken in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        "<html>",
        r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
    ] {
        assert!(verifier.keys.install(broken).is_err());
    }
    assert!(verifier.verify(token, NOW).is_ok());
    verifier
        .keys
        .install(&json!({"keys": [document["keys"][2]]}).to_string())
        .unwrap();
    assert_eq!(verifier.verify(token, NOW), Err(TokenError::KeyUnknown));
}
