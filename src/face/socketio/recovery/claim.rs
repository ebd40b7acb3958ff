//! What a client says of itself when it wants to go on.

use crate::face::socketio::recovery::offset::Offset;

/// What a client says of itself when it connects, as far as it matters for recovery.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The private id of the session that it wants back.
    pub(crate) pid: Option<String>,
    pub(crate) offset: Option<Offset>,
    /// Whether it wants offsets at all, if it says so.
    pub(crate) wants: Option<bool>,
}

impl Claim {
    /// Reads the `auth` of a CONNECT field by field: what a field of it says is never lost because
    /// of another one.
    pub(crate) fn read(auth: Option<&rmpv::Value>) -> Self {
        let field = |name: &str| {
            let fields = auth?.as_map()?;
            let found = fields.iter().find(|(key, _)| key.as_str() == Some(name));
            found.map(|(_, value)| value)
        };
        Self {
            pid: field("pid")
                .and_then(rmpv::Value::as_str)
                .map(str::to_owned),
            offset: field("offset")
                .and_then(rmpv::Value::as_str)
                .and_then(Offset::parse),
            wants: field("recovery").and_then(rmpv::Value::as_bool),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_auth_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            offset in ".{0,40}",
            pid in ".{0,20}",
        ) {
            let auth = rmpv::decode::read_value(&mut &*bytes).ok();
            let _ = Claim::read(auth.as_ref());
            let fields = [("pid", pid.as_str()), ("offset", offset.as_str())];
            let fields = fields.map(|(key, value)| (key.into(), value.into()));
            let odd = (rmpv::Value::Nil, rmpv::Value::Ext(0, bytes));
            let auth = rmpv::Value::Map(fields.into_iter().chain([odd]).collect());
            prop_assert_eq!(Claim::read(Some(&auth)).pid, Some(pid));
        }
    }
}
