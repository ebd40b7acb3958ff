//! The trace context of W3C (`traceparent`): which step of which trace something belongs to.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The header that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// A step of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: u128,
    /// The step.
    pub span: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

/// A text is no trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace context is written as `00-<32 digits>-<16 digits>-<2 digits>`, in lower case")]
pub struct NoParent;

impl Parent {
    /// The first step of a new trace.
    pub fn root(is_sampled: bool) -> Self {
        Self {
            trace: Uuid::new_v4().as_u128(),
            span: new_span(),
            is_sampled,
        }
    }

    /// The trace, as it is written.
    pub fn trace_text(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// A step below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span: new_span(),
            ..*self
        }
    }
}

/// A new id, never zero.
fn new_span() -> u64 {
    Uuid::new_v4().as_u64_pair().1.max(1)
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

impl FromStr for Parent {
    type Err = NoParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length);
            part.filter(|part| part.bytes().all(is_digit))
                .ok_or(NoParent)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may add parts; this one has none.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(NoParent);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NoParent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NoParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoParent)?;
        if trace == 0 || span == 0 {
            return Err(NoParent);
        }
        Ok(Self {
            trace,
            span,
            is_sampled: flags & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent: Parent = text.parse().unwrap();
        assert_eq!(parent.span, 0x00f0_67aa_0ba9_02b7);
        assert!(parent.is_sampled);
        assert_eq!(parent.to_string(), text);
        let child = parent.child();
        assert_eq!((child.trace, child.is_sampled), (parent.trace, true));
        assert_ne!(child.span, parent.span);
        assert_eq!(Parent::root(false).to_string().len(), text.len());
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what";
        assert!(!later.parse::<Parent>().unwrap().is_sampled);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<Parent>(), Err(NoParent), "{text}");
        }
    }
}
