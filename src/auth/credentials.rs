//! What a request shows of who sent it. Taken off the request, so that nothing behind can log it.

use http::header::{ACCEPT, AUTHORIZATION, UPGRADE};
use http::{HeaderMap, HeaderName, Request, Uri};

use crate::auth::Secret;

/// The header of API keys.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The parameter of a query that holds a token.
const PARAMETER: &str = "token";

/// A token or an API key.
pub type Credential = Secret;

/// What a request shows, each where it was found. It is never printed.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    bearer: Option<Credential>,
    api_key: Option<Credential>,
    query: Option<Credential>,
    /// A token stood in the query of a request that may not have it there.
    is_misplaced: bool,
}

impl Credentials {
    /// Takes the credentials off a request: out of its headers, and out of its query.
    pub fn take<B>(request: &mut Request<B>) -> Self {
        let query = strip_query(request.uri_mut());
        let may_use_query = query.is_some() && is_websocket_or_sse(request.headers());
        let headers = request.headers_mut();
        let bearer = headers.remove(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned().into())
        });
        let api_key = headers
            .remove(X_API_KEY)
            .and_then(|value| Some(value.to_str().ok()?.trim().to_owned().into()));
        Self {
            bearer,
            api_key,
            is_misplaced: query.is_some() && !may_use_query,
            query: query.filter(|_| may_use_query),
        }
    }

    /// Those of a single token.
    pub fn of_token(token: impl Into<String>) -> Self {
        Self {
            bearer: Some(token.into().into()),
            ..Self::default()
        }
    }

    /// The one that counts: the first that was found.
    pub fn first(&self) -> Option<&Credential> {
        self.bearer
            .as_ref()
            .or(self.api_key.as_ref())
            .or(self.query.as_ref())
    }

    /// Whether a token stood in the query of a request that may not have it there.
    pub const fn is_misplaced(&self) -> bool {
        self.is_misplaced
    }
}

/// Only those whose clients cannot set a header may have a token in the query.
fn is_websocket_or_sse(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, what: &str| {
        headers.get_all(name).iter().any(|value| {
            let value = value.to_str().unwrap_or_default();
            value.to_ascii_lowercase().contains(what)
        })
    };
    says(UPGRADE, "websocket") || says(ACCEPT, "text/event-stream")
}

/// Takes the token out of an address. What else stands in the query stays as it is.
fn strip_query(uri: &mut Uri) -> Option<Credential> {
    let query = uri
        .query()
        .filter(|query| query.contains(PARAMETER) || query.contains('%'))?;
    let is_token = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        decoded(name) == PARAMETER.as_bytes()
    };
    let found = query.split('&').find(is_token)?;
    let token = found.split_once('=').map(|(_, token)| token.to_owned());
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let mut text = uri.path().to_owned();
    if !rest.is_empty() {
        text.push('?');
        text.push_str(&rest.join("&"));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = text.parse().ok();
    *uri = Uri::from_parts(parts).unwrap_or_default();
    token.filter(|token| !token.is_empty()).map(Into::into)
}

/// A name in a query without its percent signs, which may hide it.
fn decoded(name: &str) -> Vec<u8> {
    let mut rest = name.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let hidden = after.get(..2).filter(|_| *first == b'%');
        let hidden = hidden.and_then(|digits| std::str::from_utf8(digits).ok());
        let hidden = hidden.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(hidden.unwrap_or(*first));
        rest = if hidden.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(uri: &str, headers: &[(&str, &str)]) -> (Credentials, Request<()>) {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        (Credentials::take(&mut request), request)
    }

    fn first(credentials: &Credentials) -> Option<&str> {
        credentials.first().map(Secret::reveal)
    }

    #[test]
    fn the_first_that_is_found_counts() {
        let socket = ("upgrade", "websocket");
        let all = [("authorization", "Bearer a"), ("x-api-key", "b"), socket];
        let (found, left) = take("/x?token=c", &all);
        assert_eq!(first(&found), Some("a"));
        assert!(left.headers().get("authorization").is_none());
        assert!(left.headers().get("x-api-key").is_none());
        assert_eq!(first(&take("/x?token=c", &all[1..]).0), Some("b"));
        assert_eq!(first(&take("/x?token=c", &all[2..]).0), Some("c"));
        assert_eq!(first(&take("/x", &[]).0), None);
        assert_eq!(
            first(&take("/x", &[("authorization", "Basic eDp5")]).0),
            None
        );
    }

    #[test]
    fn a_token_leaves_the_address_wherever_it_stands() {
        for (uri, left) in [
            ("/p?token=t", "/p"),
            ("/p?token=t&a=1", "/p?a=1"),
            ("/p?a=1&token=t&b=%20", "/p?a=1&b=%20"),
            ("/p?token=t&token=u", "/p"),
            ("/p?token", "/p"),
            ("/p?a=1", "/p?a=1"),
            ("http://h/p?token=t", "http://h/p"),
        ] {
            let (found, request) = take(uri, &[("accept", "text/event-stream")]);
            assert_eq!(request.uri(), left);
            assert_eq!(first(&found).is_some(), uri.contains("token=t"), "{uri}");
        }
    }

    #[test]
    fn a_name_that_is_hidden_is_the_same_name() {
        for (uri, left) in [
            ("/p?t%6Fken=t&a=%74oken", "/p?a=%74oken"),
            ("/p?%74%6f%6b%65%6e=t", "/p"),
            ("/p?tok%e=t&%zz&%", "/p?tok%e=t&%zz&%"),
        ] {
            let (found, request) = take(uri, &[("upgrade", "websocket")]);
            assert_eq!(request.uri(), left);
            assert_eq!(first(&found).is_some(), !left.contains("=t&%zz"), "{uri}");
        }
    }

    #[test]
    fn only_websockets_and_event_streams_may_have_it_there() {
        let (found, request) = take("/p?token=secret", &[("accept", "application/json")]);
        assert_eq!((first(&found), found.is_misplaced()), (None, true));
        assert_eq!(request.uri(), "/p");
        let (found, _) = take("/p?token=secret", &[("upgrade", "WebSocket")]);
        assert_eq!(first(&found), Some("secret"));
        assert!(!format!("{found:?}").contains("secret\""), "{found:?}");
    }
}
