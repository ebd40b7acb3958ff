//! Who somebody is, and what they may do.
//!
//! A [`Credentials`] is what a request shows; [`Auth`] turns it into a [`Principal`] or refuses;
//! [`may`] is the one function that decides whether a principal may do something to a topic. The
//! floor above asks it for every face. This part knows no sockets and fetches nothing: keys that
//! come from elsewhere are handed to it ([`Keys::install`]), and so are revocations.

mod admit;
mod api_key;
mod claims;
mod config;
mod credentials;
mod issue;
mod keys;
mod metrics;
mod origin;
mod password;
mod pattern;
mod principal;
mod revocation;
mod rights;
mod token;

pub use self::admit::{Auth, Refusal};
pub use self::api_key::{ApiKey, ApiKeyError, NewApiKey};
pub use self::config::{Config, Jwt, Mode, Secret};
pub use self::credentials::{Credential, Credentials};
pub use self::issue::{Issue, IssueError, SigningKey};
pub use self::keys::{KeyError, Keys};
pub use self::metrics::Metrics;
pub use self::origin::{Asker, OriginError, Origins};
pub use self::password::{Password, PasswordError};
pub use self::pattern::{Pattern, PatternError, Patterns};
pub use self::principal::{Principal, Role, Subject};
pub use self::revocation::{Revocation, RevocationError, Revocations, Revoked};
pub use self::rights::{Action, may};
pub use self::token::TokenError;
