//! The fields of a line of the log for people, with the request and the trace that caused it.

use std::fmt;

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

use crate::origin;

/// Writes the fields as usual, and where the line came from after them.
pub(super) struct Words(pub(super) DefaultFields);

impl<'writer> FormatFields<'writer> for Words {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        let from = origin::current();
        if let Some(request) = &from.request {
            write!(writer, " request={request}")?;
        }
        if let Some(trace) = &from.trace {
            write!(writer, " trace={}", trace.trace_text())?;
        }
        Ok(())
    }
}
