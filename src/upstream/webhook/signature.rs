//! The signature of a message: HMAC with SHA-256 (RFC 2104), in the words of Standard Webhooks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Least bytes of a secret.
pub(super) const SECRET_BYTES_MIN: usize = 24;

/// What a secret in base64 begins with.
const PREFIX: &str = "whsec_";

/// The bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// A key that is never shown.
pub(super) struct Key([u8; BLOCK_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key of a secret; nothing if that is too short.
    pub(super) fn of(secret: &str) -> Option<Self> {
        let bytes = match secret.strip_prefix(PREFIX) {
            Some(text) => STANDARD.decode(text).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Self::of_bytes(&bytes))
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        if bytes.len() > BLOCK_BYTES {
            block[..32].copy_from_slice(&Sha256::digest(bytes));
        } else {
            block[..bytes.len()].copy_from_slice(bytes);
        }
        Self(block)
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        format!("v1,{}", STANDARD.encode(self.mac(signed.as_bytes())))
    }

    fn mac(&self, message: &[u8]) -> [u8; 32] {
        let pad = |with: u8| self.0.map(|byte| byte ^ with);
        let inner = Sha256::new()
            .chain_update(pad(0x36))
            .chain_update(message)
            .finalize();
        Sha256::new()
            .chain_update(pad(0x5c))
            .chain_update(inner)
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn the_vectors_of_rfc_4231_hold() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, want) in cases {
            assert_eq!(hex(&Key::of_bytes(key).mac(message)), want);
        }
    }

    #[test]
    fn a_message_is_signed_in_the_words_of_standard_webhooks() {
        // The example of the specification's own libraries.
        let key = Key::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(Key::of("whsec_short").is_none() && Key::of("short").is_none());
    }
}
