//! The first argument of a client's event, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The argument as JSON. A producer's bytes under `data` become `data_base64`, as over HTTP; with
/// bytes anywhere else there is nothing that could be meant.
pub(crate) fn read(argument: rmpv::Value) -> Option<Value> {
    let rmpv::Value::Map(fields) = argument else {
        return plain(argument);
    };
    let mut object = Map::new();
    for (key, value) in fields {
        match (key.as_str()?, value) {
            ("data", rmpv::Value::Binary(bytes)) => {
                object.insert("data_base64".to_owned(), STANDARD.encode(bytes).into());
            }
            (key, value) => {
                object.insert(key.to_owned(), plain(value)?);
            }
        }
    }
    Some(Value::Object(object))
}

fn plain(value: rmpv::Value) -> Option<Value> {
    Some(match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(flag) => flag.into(),
        rmpv::Value::Integer(number) => match number.as_u64() {
            Some(number) => number.into(),
            None => number.as_i64()?.into(),
        },
        rmpv::Value::F32(number) => f64::from(number).into(),
        rmpv::Value::F64(number) => number.into(),
        rmpv::Value::String(text) => text.into_str()?.into(),
        rmpv::Value::Array(entries) => entries.into_iter().map(plain).collect::<Option<_>>()?,
        rmpv::Value::Map(fields) => {
            let field =
                |(key, value): (rmpv::Value, _)| Some((key.as_str()?.to_owned(), plain(value)?));
            Value::Object(fields.into_iter().map(field).collect::<Option<_>>()?)
        }
        rmpv::Value::Binary(_) | rmpv::Value::Ext(..) => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn argument(value: &Value) -> rmpv::Value {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn json_passes_unchanged() {
        for value in [
            json!(null),
            json!("text"),
            json!([1, -2, 2.5, true, u64::MAX, i64::MIN]),
            json!({"topic": "session:a", "data": {"deep": [{"a": {}}]}}),
        ] {
            assert_eq!(read(argument(&value)), Some(value));
        }
    }

    #[test]
    fn bytes_are_understood_as_data_only() {
        let bytes = || rmpv::Value::Binary(vec![0, 255]);
        let map = |key: &str| rmpv::Value::Map(vec![(key.into(), bytes())]);
        assert_eq!(read(map("data")), Some(json!({"data_base64": "AP8="})));
        assert_eq!(read(map("topic")), None);
        assert_eq!(read(bytes()), None);
        assert_eq!(read(rmpv::Value::Array(vec![map("data")])), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(value) = rmpv::decode::read_value(&mut &*bytes) {
                let _ = read(value);
            }
        }
    }
}
