//! Requests signed by AWS's test suite, botocore and the JavaScript SDK; `vectors/README.md` tells their
//! origin.

use super::*;

const SUITE: &str = include_str!("../../../vectors/aws-signing-test-suite.txt");
const RECORDED: &str = include_str!("../../../vectors/recorded.txt");

/// The requests of a file, by name.
fn requests(file: &str) -> Vec<(&str, Sent)> {
    file.split("=== ").filter(|text| !text.is_empty()).map(request).collect()
}

fn request(text: &str) -> (&str, Sent) {
    let (name, text) = text.split_once('\n').unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    let (line, headers) = head.split_once('\n').unwrap();
    let (method, target) = line.strip_suffix(" HTTP/1.1").unwrap().split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut sent = Sent::new(method, path, query, &[], body.strip_suffix('\n').unwrap().as_bytes());
    for line in headers.lines() {
        // The suite still has folded lines, which an HTTP parser joins.
        if line.starts_with(' ') {
            sent.headers.last_mut().unwrap().1.extend(["\n", line]);
        } else {
            let (name, value) = line.split_once(':').unwrap();
            sent.headers.push((name.to_lowercase(), value.to_owned()));
        }
    }
    (name, sent)
}

#[test]
fn the_published_suite_is_accepted() {
    // 20150830T123600Z
    let expectation = Expectation { services: &["service"], now_ms: 1_440_938_160_000, ..EXPECTATION };
    let requests = requests(SUITE);
    assert_eq!(requests.len(), 62);
    for (name, mut sent) in requests {
        let verified = sent.verify(&expectation);
        // Here the token was added after signing, which only AWS IoT takes.
        if name == "post-sts-header-after (query)" {
            assert_eq!(verified, Err(Refusal::mismatch()), "{name}");
            continue;
        }
        assert_eq!(verified.expect(name).access_key_id, ACCESS_KEY);
        sent.body.push(b' ');
        assert_eq!(sent.verify(&expectation), Err(Refusal::mismatch()), "{name}");
    }
}

#[test]
fn what_sdks_signed_is_accepted() {
    let requests = requests(RECORDED);
    assert_eq!(requests.len(), 12);
    for (name, mut sent) in requests {
        let verified = sent.verify(&EXPECTATION).expect(name);
        assert_eq!(
            verified.session_token.is_some(),
            name.contains("session token") || name.contains("capitals")
        );
        assert!(verified.session_token.is_none_or(|token| token == TOKEN), "{name}");
        sent.path.push('x');
        assert_eq!(sent.verify(&EXPECTATION), Err(Refusal::mismatch()), "{name}");
    }
}

#[test]
fn our_own_signer_signs_as_they_do() {
    let secret = Secret::new(SECRET.to_owned());
    for (name, mut sent) in requests(RECORDED) {
        // Our signer takes all headers, so those that the SDK added after signing are left out.
        sent.headers.retain(|header| !header.0.starts_with("amz-sdk") && !name.contains("botocore Send"));
        let Some(at) = sent.headers.iter().position(|header| header.0 == "authorization") else { continue };
        let theirs = sent.headers.remove(at).1;
        sent.headers.retain(|header| theirs.contains(&header.0));
        assert_eq!(sent.view(|request| sign(request, &signer(&secret), NOON_MS)).unwrap(), theirs, "{name}");
    }
}
