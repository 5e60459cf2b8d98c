//! The console: four files in the binary, and how `dev`'s link signs in.
//!
//! The page is for everybody, as the interfaces are: it can do nothing that is not signed. It is built from `console/`
//! at the root of the project, and what was built stands there in `dist` (decision 100).

use std::sync::{Arc, LazyLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Front;
use super::body::Unread;
use super::own::{MISSING, NOT_JSON, is_json};
use crate::answer::{Refusal, json as answer};
use crate::credentials::RootKey;

/// Where it is.
const PLACE: &str = "/_carillon/console/";
/// The most bytes of a code with what is around it.
const CODE_BYTES_MAX: usize = 1024;
/// Its own files and its own server, and nothing else; no script and no style but those of files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What goes with every file. Whether a file changed is asked each time, and its tag answers.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const NO_CODE: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    exception: "ForbiddenException",
    code: "Forbidden",
    message: "This link is of an earlier start: the one that dev printed last opens the console",
};

/// A file of the console.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    tag: HeaderValue,
}

impl File {
    fn new(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let tag = format!("\"{}\"", HEXLOWER.encode(&digest(&SHA256, bytes).as_ref()[..16]));
        Self { name, kind, bytes, tag: tag.parse().expect("digits are plain text") }
    }
}

macro_rules! built {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../console/dist/", $name))
    };
}

static FILES: LazyLock<[File; 4]> = LazyLock::new(|| {
    [
        File::new("", "text/html; charset=utf-8", built!("index.html")),
        File::new("console.js", "text/javascript; charset=utf-8", built!("console.js")),
        File::new("console.css", "text/css; charset=utf-8", built!("console.css")),
        File::new("icon.svg", "image/svg+xml", built!("icon.svg")),
    ]
});

/// What opens the console signed in: a code that this process made, for as long as it lives.
pub(super) struct Link {
    code: Zeroizing<String>,
    root: RootKey,
    region: String,
    demo: Value,
}

impl Link {
    /// A link with this code, to a server of this region with this demo.
    pub(super) fn new(code: String, root: RootKey, region: String, demo: Value) -> Self {
        Self { code: Zeroizing::new(code), root, region, demo }
    }
}

/// To where relative links of the page begin.
pub(super) async fn beside() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PLACE));
    response
}

/// The page.
pub(super) async fn page(State(front): State<Arc<Front>>, headers: HeaderMap) -> Response {
    show(&front, "", &headers)
}

/// What the page loads.
pub(super) async fn file(
    State(front): State<Arc<Front>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    show(&front, &name, &headers)
}

fn show(front: &Front, name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return MISSING.answer(&front.service.new_id());
    };
    let is_known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| knows(known, &file.tag));
    let mut response = Response::new(Body::from(if is_known { &[] } else { file.bytes }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, file.tag.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a browser has what has this tag; a proxy that compresses makes the tag a weak one.
fn knows(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Asked<'a> {
    code: &'a str,
}

/// The root access key, for whoever has the link that `dev` printed beside it. As with all that `dev` gives away, the
/// page must be of this machine (`super::admit`).
pub(super) async fn session(State(front): State<Arc<Front>>, request: Request) -> Response {
    let Some(link) = front.link.get() else { return MISSING.answer(&front.service.new_id()) };
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return NOT_JSON.answer(&front.service.new_id());
    }
    let mut unread = Unread::new(&parts.headers, body);
    let body = unread.read(&front.intake, CODE_BYTES_MAX).await.unwrap_or_default();
    let asked: Option<Asked<'_>> = serde_json::from_slice(&body).ok();
    let is_it = asked
        .is_some_and(|asked| verify_slices_are_equal(asked.code.as_bytes(), link.code.as_bytes()).is_ok());
    if !is_it {
        return NO_CODE.answer(&front.service.new_id());
    }
    let mut response = answer(
        StatusCode::OK,
        &json!({
            "AccessKeyId": link.root.access_key_id,
            "SecretAccessKey": link.root.expose_secret(),
            "Region": link.region,
            "Demo": link.demo,
        }),
    );
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_loads_is_in_the_binary() {
        let page = str::from_utf8(FILES[0].bytes).unwrap();
        let names = page.split(['"', '\'']).filter_map(|part| part.strip_prefix("./"));
        let names: Vec<&str> = names.collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.iter().all(|name| FILES.iter().any(|file| file.name == *name)), "{names:?}");
    }

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it() {
        let tag = HeaderValue::from_static("\"ab\"");
        for known in ["\"ab\"", "W/\"ab\"", "\"cd\", \"ab\""] {
            assert!(knows(&HeaderValue::from_static(known), &tag), "{known}");
        }
        assert!(!knows(&HeaderValue::from_static("\"abc\""), &tag));
    }
}
