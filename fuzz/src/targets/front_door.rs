//! The front door: requests as text, signed as far as they can be, and answered by a service. None may be our fault,
//! and each refusal has the form of the protocol.

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::Target;
use super::house::{House, house};
use crate::outcome::note;

/// A request as it is written: a line of method and target, headers, an empty line, the body.
pub(super) const REQUEST: Target = Target {
    name: "request",
    about: "the front door: any request that is signed, from its first line to the operation",
    words: "GET POST PUT DELETE HEAD OPTIONS PATCH channels memberships bans moderators messages \
            app-instances app-instance-users app-instance-bots channel-flows tags endpoints \
            messaging-session max-results next-token operation scope x-amz-chime-bearer {instance} {user} \
            {channel} {message} {instance%} {user%} {channel%} content-type x-amz-content-sha256 \
            x-amz-security-token expect origin",
    is_quick: false,
    run: request,
};

/// A form, for IAM by the first line, or for STS.
pub(super) const QUERY_PROTOCOL: Target = Target {
    name: "query_protocol",
    about: "the forms of IAM and STS",
    words: "Action Version UserName RoleName PolicyDocument PolicyArn PolicyName AccessKeyId \
            Tags.member.1.Key Tags.member.1.Value Marker MaxItems PathPrefix RoleArn RoleSessionName \
            DurationSeconds WebIdentityToken CreateUser ListUsers AssumeRole GetCallerIdentity %22 %7B %7D \
            member AssumeRolePolicyDocument",
    is_quick: false,
    run: query_protocol,
};

/// The query of `/connect`; signed, unless its first letter is `!`.
pub(super) const SOCKET_QUERY: Target = Target {
    name: "socket_query",
    about: "presigned queries, as sockets are opened by them",
    words: "userArn sessionId prefetch-on connect prefetch-sort-by unread last-message-timestamp resume-from \
            X-Amz-Algorithm X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-SignedHeaders X-Amz-Signature \
            X-Amz-Security-Token AWS4-HMAC-SHA256 {user%} host 20260115T120000Z",
    is_quick: false,
    run: socket_query,
};

/// A token of a session in the first line, one of a page in the second.
pub(super) const TOKENS: Target = Target {
    name: "tokens",
    about: "tokens of sessions and of pages",
    words: "A AA== %2B - _",
    is_quick: false,
    run: tokens,
};

fn request(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[][..]),
    };
    house(|house| {
        let head = house.named(&String::from_utf8_lossy(head));
        let body = match std::str::from_utf8(body) {
            Ok(text) => house.named(text).into_bytes(),
            Err(_) => body.to_vec(),
        };
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", "/"));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned())).collect();
        answer(house, "chime", (method, path, query), &headers, &body);
    });
}

fn query_protocol(bytes: &[u8]) {
    let (service, form) = match bytes.strip_prefix(b"iam\n") {
        Some(form) => ("iam", form),
        None => ("sts", bytes.strip_prefix(b"sts\n").unwrap_or(bytes)),
    };
    house(|house| answer(house, service, ("POST", "/", ""), &[], form));
}

fn socket_query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    house(|house| {
        let query = house.named(text.trim_end());
        let plain = query.strip_prefix('!');
        if let Some((code, reason)) = house.connect(plain.unwrap_or(&query), plain.is_none()) {
            assert!(code != 1011, "a socket that could not be served: {reason}");
            note(reason);
        }
    });
}

fn tokens(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (session, page) = text.split_once('\n').unwrap_or((&text, ""));
    house(|house| {
        let bearer = ("x-amz-chime-bearer".to_owned(), house.named("{user}"));
        let query = format!("app-instance-arn={}&next-token={}", house.named("{instance%}"), page.trim_end());
        answer(house, "chime", ("GET", "/channels", &query), std::slice::from_ref(&bearer), b"");
        let session = ("x-amz-security-token".to_owned(), session.to_owned());
        answer(house, "chime", ("GET", "/channels", &query), &[bearer, session], b"");
    });
}

fn answer(
    house: &House,
    service: &str,
    asked: (&str, &str, &str),
    headers: &[(String, String)],
    body: &[u8],
) {
    if let Some(response) = house.signed(service, asked, headers, body) {
        judge(&response);
    }
}

fn judge(response: &Response<Bytes>) {
    let (status, body) = (response.status(), String::from_utf8_lossy(response.body()));
    assert!(!status.is_server_error(), "{status}: {body}");
    note(status.as_str());
    if !status.is_client_error() {
        return;
    }
    if body.contains("<ErrorResponse ") {
        let message = body.split("<Message>").nth(1).and_then(|rest| rest.split("</Message>").next());
        note(message.unwrap_or_else(|| panic!("a refusal without a message: {body}")));
        return;
    }
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}"));
    assert!(response.headers().contains_key("x-amzn-errortype"), "{status}: {body}");
    note(answer["Message"].as_str().unwrap_or_else(|| panic!("a refusal without a message: {body}")));
}
