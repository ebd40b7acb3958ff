//! The page of tidings: embedded in the binary, served at `/` and `/assets/<file>`.
//!
//! The page is a client like any other: it reads `/v1/topics` and the event
//! streams over HTTP, so nothing here knows topics or the hub. It promises a
//! policy that allows nothing inline and nothing from elsewhere, and answers
//! that a browser may keep but has to ask about (`ETag`).
//! In a debug build the files are read from `clients/dashboard` at each
//! request; a release build carries them.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

/// Everything from this origin, nothing inline, and no framing by others.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self'; script-src 'self'; \
     object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "clients/dashboard/"]
struct Files;

/// The routes of the page; they need no state.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(index))
        .route("/assets/{file}", get(asset))
}

async fn index(headers: HeaderMap) -> Response {
    serve("index.html", &headers)
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    serve(&format!("assets/{file}"), &headers)
}

fn serve(path: &str, asked: &HeaderMap) -> Response {
    // The path is one segment, but a decoded `%2F` could still climb in a debug build.
    let found = if path.contains("..") {
        None
    } else {
        Files::get(path)
    };
    let Some(file) = found else {
        return (
            StatusCode::NOT_FOUND,
            "the page has no such file, it begins at `/`\n",
        )
            .into_response();
    };
    let tag = etag(&file);
    let known = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|value| matches(value, &tag));
    let mut answer = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data).into_response()
    };
    let headers = answer.headers_mut();
    let mut set = |name, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, content_type(path));
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-cache");
    headers.insert(header::ETAG, tag);
    answer
}

/// The content decides, so a restart with the same files invalidates nothing.
fn etag(file: &EmbeddedFile) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let text = URL_SAFE_NO_PAD.encode(&hash[..12]);
    HeaderValue::from_str(&format!("\"{text}\"")).expect("base64 text is a valid header")
}

/// `If-None-Match` compares weakly: `*`, or a list that may carry `W/` marks.
fn matches(asked: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(asked), Ok(tag)) = (asked.to_str(), tag.to_str()) else {
        return false;
    };
    asked
        .split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(path: &str, if_none_match: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(tag) = if_none_match {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        routes()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    async fn text(answer: Response) -> String {
        String::from_utf8(
            answer
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .to_vec(),
        )
        .unwrap()
    }

    fn header_of<'a>(answer: &'a Response, name: &str) -> &'a str {
        answer.headers()[name].to_str().unwrap()
    }

    #[tokio::test]
    async fn the_page_forbids_what_is_inline_or_from_elsewhere() {
        let page = answer("/", None).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(header_of(&page, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header_of(&page, "x-content-type-options"), "nosniff");
        assert_eq!(header_of(&page, "cache-control"), "no-cache");
        let policy = header_of(&page, "content-security-policy").to_owned();
        for rule in [
            "default-src 'self'",
            "style-src 'self'",
            "script-src 'self'",
        ] {
            assert!(policy.contains(rule), "{rule} is missing in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(text(page).await.contains("<title>tidings</title>"));
    }

    #[tokio::test]
    async fn every_file_has_its_content_type_and_every_link_its_file() {
        for (path, expected) in [
            ("/assets/main.js", "text/javascript; charset=utf-8"),
            ("/assets/base.css", "text/css; charset=utf-8"),
            ("/assets/icons.svg", "image/svg+xml"),
        ] {
            let file = answer(path, None).await;
            assert_eq!(file.status(), StatusCode::OK, "{path}");
            assert_eq!(header_of(&file, "content-type"), expected);
        }
        let page = text(answer("/", None).await).await;
        for link in page.split('"').filter(|part| part.starts_with("/assets/")) {
            let file = link.split('#').next().unwrap();
            assert_eq!(answer(file, None).await.status(), StatusCode::OK, "{file}");
        }
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let tag = header_of(&answer("/assets/main.js", None).await, "etag").to_owned();
        for asked in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            let again = answer("/assets/main.js", Some(&asked)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{asked}");
            assert_eq!(header_of(&again, "etag"), tag);
            assert_eq!(text(again).await, "");
        }
        let changed = answer("/assets/main.js", Some("\"other\"")).await;
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn only_the_files_of_the_page_are_served() {
        for path in [
            "/assets/none.js",
            "/assets/..%2Fpackage.json",
            "/assets/..%2F..%2F..%2FCargo.toml",
            "/assets/%2Fetc%2Fpasswd",
            "/assets/",
            "/package.json",
        ] {
            assert_eq!(
                answer(path, None).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }

    #[test]
    fn no_file_carries_inline_code_or_writes_markup() {
        for path in Files::iter().filter(|path| path != "package.json") {
            let file = Files::get(&path).unwrap();
            let content = String::from_utf8(file.data.to_vec()).unwrap();
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!content.contains(banned), "{path} contains {banned}");
            }
            if path.ends_with(".html") {
                for banned in [" style=", "<style", " onclick=", " onload=", "<script>"] {
                    assert!(!content.contains(banned), "{path} contains {banned}");
                }
            }
            let foreign = content.replace("http://www.w3.org/", "");
            assert!(
                !foreign.contains("http://") && !foreign.contains("https://"),
                "{path}"
            );
        }
    }
}
