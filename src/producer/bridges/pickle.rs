//! Pickle, as far as it is plain data.
//!
//! Numbers, text, bytes, lists, dicts and tuples of protocols 2 to 5 are read; whatever names or calls
//! anything (`GLOBAL`, `REDUCE`, `BUILD`, ...) is refused, and so is what is too deep, too large or
//! grows by sharing. Nothing is ever run. The opcodes are those of Python's `pickletools`.

use rmpv::Value;

use crate::producer::bridges::action::DEPTH_MAX;

/// Most objects of a pickle, and most of the value that is made of it: shared ones count each time.
const OBJECTS_MAX: usize = 100_000;

/// Most bytes of texts in the value that is made.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A pickle that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// What was read: a map, with what of its members were tuples.
#[derive(Debug)]
pub(crate) struct Pickled {
    value: Value,
    tuples: Vec<String>,
}

impl Pickled {
    pub(crate) const fn value(&self) -> &Value {
        &self.value
    }

    /// The parts of a member that is a tuple.
    pub(crate) fn tuple(&self, name: &str) -> Option<Vec<Value>> {
        let is_tuple = self.tuples.iter().any(|tuple| tuple == name);
        let member = crate::producer::bridges::action::member(&self.value, name)?;
        member.as_array().filter(|_| is_tuple).cloned()
    }
}

/// An object of the pickle; others are named by their number.
enum Object {
    Plain(Value),
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Tuple(Vec<usize>),
}

#[derive(Default)]
struct Machine {
    objects: Vec<Object>,
    stack: Vec<usize>,
    /// Where the stack was at each mark.
    marks: Vec<usize>,
    memo: Vec<Option<usize>>,
}

/// Reads a pickle.
pub(crate) fn read(data: &[u8]) -> Result<Pickled, Refused> {
    let mut machine = Machine::default();
    let root = machine.run(data)?;
    let tuples = match &machine.objects[root] {
        Object::Dict(members) => members
            .iter()
            .filter(|(_, value)| matches!(machine.objects[*value], Object::Tuple(_)))
            .filter_map(|(key, _)| machine.text(*key))
            .collect(),
        _ => return Err(Refused),
    };
    let mut left = Left {
        objects: OBJECTS_MAX,
        bytes: BYTES_MAX,
    };
    let value = machine.value(root, &mut left, 0)?;
    Ok(Pickled { value, tuples })
}

/// What may still be made.
struct Left {
    objects: usize,
    bytes: usize,
}

impl Machine {
    fn run(&mut self, mut rest: &[u8]) -> Result<usize, Refused> {
        loop {
            let [opcode] = take(&mut rest)?;
            match opcode {
                // PROTO, FRAME
                0x80 => drop(take::<1>(&mut rest)?),
                0x95 => drop(take::<8>(&mut rest)?),
                b'.' => return self.stack.pop().ok_or(Refused),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.stack.pop().ok_or(Refused)?),
                b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | b'G' => {
                    let number = scalar(opcode, &mut rest)?;
                    self.push(Object::Plain(number))?;
                }
                0x8c | b'X' | 0x8d => {
                    let text = sized(opcode, &mut rest)?;
                    let text = std::str::from_utf8(text).map_err(|_| Refused)?;
                    self.push(Object::Plain(Value::from(text)))?;
                }
                b'C' | b'B' | 0x8e | 0x96 => {
                    let bytes = sized(opcode, &mut rest)?.to_vec();
                    self.push(Object::Plain(Value::Binary(bytes)))?;
                }
                b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(opcode, &mut rest)?,
                _ => self.gather(opcode)?,
            }
        }
    }

    fn push(&mut self, object: Object) -> Result<(), Refused> {
        if self.objects.len() >= OBJECTS_MAX {
            return Err(Refused);
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// Puts the top into the memo, or what is there on top.
    fn remember(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<(), Refused> {
        let place = match opcode {
            b'q' | b'h' => usize::from(take::<1>(rest)?[0]),
            b'r' | b'j' => u32::from_le_bytes(take(rest)?) as usize,
            _ => self.memo.len(),
        };
        if place >= OBJECTS_MAX {
            return Err(Refused);
        }
        if matches!(opcode, b'h' | b'j') {
            let known = self.memo.get(place).copied().flatten();
            self.stack.push(known.ok_or(Refused)?);
            return if self.stack.len() > OBJECTS_MAX {
                Err(Refused)
            } else {
                Ok(())
            };
        }
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(*self.stack.last().ok_or(Refused)?);
        Ok(())
    }

    /// Lists, dicts and tuples.
    fn gather(&mut self, opcode: u8) -> Result<(), Refused> {
        match opcode {
            b']' => self.push(Object::List(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let parts = self.pop(usize::from(opcode - 0x84))?;
                self.push(Object::Tuple(parts))
            }
            b't' => {
                let parts = self.pop_mark()?;
                self.push(Object::Tuple(parts))
            }
            b'a' => {
                let parts = self.pop(1)?;
                self.extend_list(parts)
            }
            b'e' => {
                let parts = self.pop_mark()?;
                self.extend_list(parts)
            }
            b's' => {
                let parts = self.pop(2)?;
                self.extend_dict(&parts)
            }
            b'u' => {
                let parts = self.pop_mark()?;
                self.extend_dict(&parts)
            }
            _ => Err(Refused),
        }
    }

    fn pop(&mut self, count: usize) -> Result<Vec<usize>, Refused> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(count).ok_or(Refused)?;
        if from < floor {
            return Err(Refused);
        }
        Ok(self.stack.split_off(from))
    }

    fn pop_mark(&mut self) -> Result<Vec<usize>, Refused> {
        let mark = self.marks.pop().ok_or(Refused)?;
        if mark > self.stack.len() {
            return Err(Refused);
        }
        Ok(self.stack.split_off(mark))
    }

    fn extend_list(&mut self, parts: Vec<usize>) -> Result<(), Refused> {
        match self.top()? {
            Object::List(list) => list.extend(parts),
            _ => return Err(Refused),
        }
        Ok(())
    }

    fn extend_dict(&mut self, parts: &[usize]) -> Result<(), Refused> {
        let (pairs, rest) = parts.as_chunks::<2>();
        match self.top()? {
            Object::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            _ => return Err(Refused),
        }
        Ok(())
    }

    fn top(&mut self) -> Result<&mut Object, Refused> {
        let top = *self.stack.last().ok_or(Refused)?;
        self.objects.get_mut(top).ok_or(Refused)
    }

    fn text(&self, number: usize) -> Option<String> {
        match &self.objects[number] {
            Object::Plain(value) => value.as_str().map(str::to_owned),
            _ => None,
        }
    }

    /// The value of an object; one that holds itself is too deep.
    fn value(&self, number: usize, left: &mut Left, depth: usize) -> Result<Value, Refused> {
        if depth > DEPTH_MAX {
            return Err(Refused);
        }
        left.objects = left.objects.checked_sub(1).ok_or(Refused)?;
        match &self.objects[number] {
            Object::Plain(value) => {
                let bytes = match value {
                    Value::String(text) => text.as_bytes().len(),
                    Value::Binary(bytes) => bytes.len(),
                    _ => 0,
                };
                left.bytes = left.bytes.checked_sub(bytes).ok_or(Refused)?;
                Ok(value.clone())
            }
            Object::List(parts) | Object::Tuple(parts) => parts
                .iter()
                .map(|part| self.value(*part, left, depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Object::Dict(members) => members
                .iter()
                .map(|(key, value)| {
                    let key = self.value(*key, left, depth + 1)?;
                    Ok((key, self.value(*value, left, depth + 1)?))
                })
                .collect::<Result<_, _>>()
                .map(Value::Map),
        }
    }
}

fn scalar(opcode: u8, rest: &mut &[u8]) -> Result<Value, Refused> {
    Ok(match opcode {
        b'N' => Value::Nil,
        0x88 => Value::Boolean(true),
        0x89 => Value::Boolean(false),
        b'J' => Value::from(i32::from_le_bytes(take(rest)?)),
        b'K' => Value::from(take::<1>(rest)?[0]),
        b'M' => Value::from(u16::from_le_bytes(take(rest)?)),
        b'G' => Value::F64(f64::from_be_bytes(take(rest)?)),
        _ => {
            let [length] = take(rest)?;
            let bytes = slice(rest, usize::from(length))?;
            if bytes.len() > 8 {
                return Err(Refused);
            }
            let is_negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
            let mut whole = [if is_negative { 0xff } else { 0 }; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            Value::from(i64::from_le_bytes(whole))
        }
    })
}

/// Text or bytes after their length.
fn sized<'a>(opcode: u8, rest: &mut &'a [u8]) -> Result<&'a [u8], Refused> {
    let length = match opcode {
        0x8c | b'C' => usize::from(take::<1>(rest)?[0]),
        b'X' | b'B' => u32::from_le_bytes(take(rest)?) as usize,
        _ => usize::try_from(u64::from_le_bytes(take(rest)?)).map_err(|_| Refused)?,
    };
    slice(rest, length)
}

fn slice<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Refused> {
    let (slice, tail) = rest.split_at_checked(length).ok_or(Refused)?;
    *rest = tail;
    Ok(slice)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Refused> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Refused)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whatever_calls_or_names_is_refused() {
        // os.system, as pickle would have it run
        for bad in [
            &b"cos\nsystem\n(S'true'\ntR."[..],
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
            b"\x80\x02}b.",
            b"\x80\x02c__main__\nX\n.",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_deep_or_holds_itself_or_grows_by_sharing_is_refused() {
        let mut deep = b"\x80\x02}X\x01\x00\x00\x00a".to_vec();
        deep.extend([b']'; 5000]);
        deep.extend([b'a'; 4999]);
        deep.extend(b"s.");
        assert!(read(&deep).is_err());
        // d = {}; d['a'] = d
        assert!(read(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.").is_err());
        let mut laughs = b"\x80\x04}X\x01\x00\x00\x00a]X\x01\x00\x00\x00xa\x94".to_vec();
        for place in 0..30_u8 {
            laughs.extend([b'0', b']', b'(', b'h', place, b'h', place, b'e', 0x94]);
        }
        laughs.extend(b"s.");
        assert!(read(&laughs).is_err());
    }

    #[test]
    fn numbers_of_all_sizes_are_read() {
        let pickle = b"\x80\x04}(\x8c\x01aJ\xff\xff\xff\xff\x8c\x01b\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x8c\x01cG@\x04\x00\x00\x00\x00\x00\x00\x8c\x01dN\x8c\x01e\x88u.";
        let pickled = read(pickle).unwrap();
        let member =
            |name| crate::producer::bridges::action::member(pickled.value(), name).unwrap();
        assert_eq!(member("a"), &Value::from(-1));
        assert_eq!(member("b"), &Value::from(1_000_000_000_000_i64));
        assert_eq!(member("c"), &Value::F64(2.5));
        assert_eq!(
            (member("d"), member("e")),
            (&Value::Nil, &Value::Boolean(true))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
