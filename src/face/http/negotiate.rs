//! Content negotiation: which of our forms a client would rather have (RFC 9110, 12.5.1).

use std::cmp::Reverse;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A form in which we can answer, with the media types that mean it.
pub(crate) struct Offer<T> {
    /// The form.
    pub(crate) form: T,
    /// Its media type first, then what else clients call it.
    pub(crate) types: &'static [&'static str],
}

/// A media range of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// Quality in thousandths.
    quality: u16,
}

/// The form that the client would rather have: the highest quality, then the one it names most
/// exactly, then the one it names first, then our own order. Nothing when it accepts none.
pub(crate) fn choose<T: Copy>(headers: &HeaderMap, offers: &[Offer<T>]) -> Option<T> {
    let accept: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .collect();
    let ranges: Vec<Range<'_>> = accept
        .iter()
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    if ranges.is_empty() {
        return offers.first().map(|offer| offer.form);
    }
    let ranked = offers.iter().enumerate().filter_map(|(n, offer)| {
        let Match {
            exactness,
            place,
            quality,
        } = offer.best_match(&ranges)?;
        let rank = (quality, exactness, Reverse(place), Reverse(n));
        (quality > 0).then_some((rank, offer.form))
    });
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, form)| form)
}

/// How a media range names an offer.
struct Match {
    /// From 0 (`*/*`) to 2 (the type itself).
    exactness: u8,
    /// The range's place in the header.
    place: usize,
    quality: u16,
}

impl<T> Offer<T> {
    /// The most exact range that names the offer; among equals the first.
    fn best_match(&self, ranges: &[Range<'_>]) -> Option<Match> {
        let matches = ranges.iter().enumerate().filter_map(|(place, range)| {
            let exactness = self
                .types
                .iter()
                .filter_map(|known| range.exactness(known))
                .max()?;
            Some(Match {
                exactness,
                place,
                quality: range.quality,
            })
        });
        matches.max_by_key(|found| (found.exactness, Reverse(found.place)))
    }
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("q")
                .then(|| thousandths(value.trim()))
        });
        Some(Self {
            kind,
            subtype,
            quality: quality.unwrap_or(1000),
        })
    }

    fn exactness(&self, known: &str) -> Option<u8> {
        let (kind, subtype) = known.split_once('/')?;
        if self.kind == "*" && self.subtype == "*" {
            return Some(0);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        if self.subtype == "*" {
            return Some(1);
        }
        self.subtype.eq_ignore_ascii_case(subtype).then_some(2)
    }
}

/// `0.8` as 800; what is no quality counts as none at all.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    match whole {
        "1" => 1000,
        "0" => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const OFFERS: [Offer<char>; 3] = [
        Offer {
            form: 'j',
            types: &["application/json"],
        },
        Offer {
            form: 's',
            types: &["text/event-stream"],
        },
        Offer {
            form: 'n',
            types: &["application/x-ndjson", "application/ndjson"],
        },
    ];

    #[test]
    fn the_best_form_is_chosen() {
        for (accept, want) in [
            ("", Some('j')),
            ("*/*", Some('j')),
            ("text/event-stream", Some('s')),
            ("TEXT/Event-Stream;charset=utf-8", Some('s')),
            ("text/*", Some('s')),
            ("application/ndjson", Some('n')),
            ("application/json;q=0.5, text/event-stream;q=0.6", Some('s')),
            (
                "application/json;q=0.5, text/event-stream;q=0.45",
                Some('j'),
            ),
            ("*/*;q=0.1, application/x-ndjson;q=0.2", Some('n')),
            ("*/*, text/event-stream", Some('s')),
            ("text/event-stream, application/json", Some('s')),
            ("application/json, text/event-stream", Some('j')),
            ("application/json;q=0, */*;q=0.5", Some('s')),
            ("text/html, application/xml", None),
            ("text/event-stream;q=0", None),
            ("application/json;q=0.0", None),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(choose(&headers, &OFFERS), want, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(
            bytes in proptest::collection::vec(32_u8..=255, 0..60),
            ours in "((\\*|text|application)/(\\*|json|event-stream)(;q=[0-9.]{0,6})?,? ?){0,5}",
        ) {
            for bytes in [bytes.as_slice(), ours.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let headers = HeaderMap::from_iter([(ACCEPT, value)]);
                let _ = choose(&headers, &OFFERS);
            }
        }
    }
}
