//! The ids of sessions, as clients know them: `<engine's id>.<node>.<signature>`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::cluster::Nodes;
use crate::cluster::secrets::{Purpose, Secrets};

/// Whose session an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// This node's, and this is the engine's id.
    Ours(&'a str),
    /// Another node's.
    Theirs(Uuid),
    /// Nobody gave it.
    Nobodys,
}

impl Nodes {
    /// The id by which a client is to know a session of this node; nothing if it is the engine's.
    pub fn told(&self, sid: &str) -> Option<String> {
        let own = self.0.as_ref()?;
        told(&own.secrets, own.id, sid)
    }

    /// Whose session an id is of.
    pub fn whose<'a>(&self, told: &'a str) -> Whose<'a> {
        let Some(own) = &self.0 else {
            return Whose::Ours(told);
        };
        whose(&own.secrets, own.id, told)
    }
}

fn told(secrets: &Secrets, node: Uuid, sid: &str) -> Option<String> {
    let named = format!("{sid}.{}", URL_SAFE_NO_PAD.encode(node.as_bytes()));
    let signature = secrets.sign(Purpose::Sid, &named)?;
    Some(format!("{named}.{signature}"))
}

fn whose<'a>(secrets: &Secrets, own: Uuid, told: &'a str) -> Whose<'a> {
    let Some((named, signature)) = told.rsplit_once('.') else {
        // From before the nodes knew each other, or of a session that is on its last transport.
        return Whose::Ours(told);
    };
    let parts = named.rsplit_once('.').and_then(|(sid, node)| {
        let node = URL_SAFE_NO_PAD.decode(node).ok()?;
        Some((sid, Uuid::from_slice(&node).ok()?))
    });
    match parts {
        Some((sid, node)) if secrets.verify(Purpose::Sid, named, signature) => {
            if node == own {
                Whose::Ours(sid)
            } else {
                Whose::Theirs(node)
            }
        }
        Some(_) | None => Whose::Nobodys,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_names_its_node_and_cannot_be_made_up() {
        let secrets = Secrets::new(None);
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        assert_eq!(told(&secrets, here, "AAAA"), None);
        secrets.take(b"s");
        let id = told(&secrets, here, "AAAA").unwrap();
        assert!(
            id.bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)),
            "it needs no escaping: {id}"
        );
        assert_eq!(whose(&secrets, here, &id), Whose::Ours("AAAA"));
        assert_eq!(whose(&secrets, there, &id), Whose::Theirs(here));
        assert_eq!(whose(&secrets, here, "AAAA"), Whose::Ours("AAAA"));
        let other = told(&secrets, there, "AAAA").unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        let (named, _) = id.rsplit_once('.').unwrap();
        for forged in [
            format!("{named}.{signature}"),
            format!("B{id}"),
            format!("{named}."),
            "a.b".to_owned(),
            "..".to_owned(),
            ".".to_owned(),
            "http://10.0.0.1.x.y".to_owned(),
        ] {
            assert_eq!(whose(&secrets, here, &forged), Whose::Nobodys, "{forged}");
        }
    }

    proptest! {
        #[test]
        fn no_id_makes_it_panic(id in ".{0,80}", dotted in "[a-zA-Z0-9_-]{0,30}([.][a-zA-Z0-9_-]{0,30}){0,4}") {
            let secrets = Secrets::new(None);
            secrets.take(b"s");
            for id in [&id, &dotted] {
                prop_assert!(!matches!(whose(&secrets, Uuid::nil(), id), Whose::Theirs(_)));
            }
        }
    }
}
