//! When to come back: the hint that refusals carry which pass by themselves.
//!
//! There are two headers: `x-amz-retry-after` in milliseconds, and HTTP's own `Retry-After` in whole seconds. Most SDKs
//! read one of them, and one takes whichever comes first, so the exact one does.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// How many milliseconds to wait.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-amz-retry-after");
/// The least wait where nobody knows how long there is too much to do.
const BUSY_MS_MIN: u64 = 500;
/// What is added to it at most, at random: those who were turned away together do not come back together.
const BUSY_JITTER_MS_MAX: u64 = 1000;

/// Says after how many milliseconds to come back, in an answer that says nothing of it yet.
pub fn say(headers: &mut HeaderMap, wait_ms: u64) {
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(wait_ms));
    headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
}

/// How long to wait where there is too much to do: other for each request, by its id, which is random.
fn busy_ms(request_id: &str) -> u64 {
    let random =
        request_id.get(..4).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    BUSY_MS_MIN + random * BUSY_JITTER_MS_MAX / 0xffff
}

/// How long to wait before what was answered so is tried again, where it may be.
pub fn wait_ms(status: StatusCode, request_id: &str) -> Option<u64> {
    (status == StatusCode::SERVICE_UNAVAILABLE).then(|| busy_ms(request_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_hint_comes_first_and_the_other_is_never_shorter() {
        for (wait_ms, seconds) in [(1, "1"), (1000, "1"), (1001, "2")] {
            let mut headers = HeaderMap::new();
            say(&mut headers, wait_ms);
            let said: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            assert_eq!(said, [("x-amz-retry-after", &*wait_ms.to_string()), ("retry-after", seconds)]);
        }
    }

    #[test]
    fn who_is_turned_away_waits_about_a_second() {
        assert_eq!(busy_ms("0000-"), 500);
        assert_eq!(busy_ms("7fff-"), 999);
        assert_eq!(busy_ms("ffff-"), 1500);
    }
}
