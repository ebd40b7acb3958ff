//! tmp
use serde::{Serialize,Deserialize};
/// b
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteSize(pub u64);
impl ByteSize { /// b
pub fn bytes(self) -> usize { self.0 as usize } }
/// d
pub mod duration {
 use std::time::Duration;
 /// s
 pub fn serialize<S: serde::Serializer>(d:&Duration,s:S)->Result<S::Ok,S::Error>{ s.serialize_str(&format!("{}ms", d.as_millis())) }
 /// d
 pub fn deserialize<'de,D: serde::Deserializer<'de>>(d:D)->Result<Duration,D::Error>{ let n: u64 = serde::Deserialize::deserialize(d)?; Ok(Duration::from_millis(n)) }
}
