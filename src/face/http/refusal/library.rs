//! How the library's errors become refusals.

use super::{Code, Refusal};
use crate::limit::Limit;
use crate::producer::library::{Error, Invalid};
use crate::store::documents;
use crate::upstream::library as upstream;

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let is_document = matches!(error, Error::Invalid(Invalid::TooLong { .. }));
        let code = match error {
            Error::Documents(error) => match error {
                documents::Error::LibraryUnknown(_) => Code::LibraryUnknown,
                documents::Error::DocumentUnknown(_) => Code::DocumentUnknown,
                documents::Error::TooManyLibraries(_) => Code::LibrariesFull,
                documents::Error::Full => Code::StoreFull,
                documents::Error::Busy => Code::LibraryBusy,
                documents::Error::Unavailable(_) => Code::StoreAway,
            },
            Error::Upstream(error) => match error {
                upstream::Error::NotFound(what) if what.starts_with("Library") => {
                    Code::LibraryUnknown
                }
                upstream::Error::NotFound(_) => Code::DocumentUnknown,
                upstream::Error::Refused { .. } => Code::DocumentInvalid,
                upstream::Error::Failed { .. }
                | upstream::Error::TimedOut(_)
                | upstream::Error::Unreachable
                | upstream::Error::Broken
                | upstream::Error::Answer(_) => Code::UpstreamFailed,
                upstream::Error::Resting { .. } => Code::UpstreamResting,
                upstream::Error::Busy => Code::LibraryBusy,
            },
            Error::Invalid(error) => match error {
                Invalid::TooLong { what, .. } if what != "name" => Code::PayloadTooLarge,
                Invalid::TooLong { .. }
                | Invalid::NoName
                | Invalid::NoText
                | Invalid::NoQuery
                | Invalid::Results(_)
                | Invalid::NoDocument(_) => Code::DocumentInvalid,
            },
        };
        let refusal = Self::new(code, detail);
        if is_document && code == Code::PayloadTooLarge {
            return refusal.at(Some(Limit::DocumentBytes));
        }
        refusal
    }
}
