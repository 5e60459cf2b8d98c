//! How deep and how long a JSON text may be, looked at before it is parsed.
//!
//! One pass over the bytes costs a thousandth of a parse, and a body that keeps the bounds costs little to parse. It
//! does not know whether the text is JSON: the parser says that.

use crate::error::{Error, Result};

/// How deep arrays and objects may stand in each other; the deepest request of the interface has six.
const DEPTH_MAX: usize = 32;
/// How many members and items there may be in all; the longest request of the interface, a channel with all its
/// members, moderators and tags, has some 250.
const MEMBERS_MAX: usize = 4_096;

/// Refuses a text that is deeper or longer.
pub(crate) fn check(text: &[u8]) -> Result<()> {
    let (mut depth, mut members) = (0_usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => {
                depth += 1;
                if DEPTH_MAX < depth {
                    return Err(Error::bad_request(format!("The body is more than {DEPTH_MAX} levels deep")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => {
                members += 1;
                if MEMBERS_MAX <= members {
                    return Err(Error::bad_request(format!(
                        "The body has more than {MEMBERS_MAX} members and items"
                    )));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Goes on behind the quotation mark that ends a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str) -> bool {
        check(text.as_bytes()).is_ok()
    }

    #[test]
    fn a_text_is_as_deep_and_as_long_as_it_may_be() {
        for (count, taken) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, false)] {
            assert_eq!(is_taken(&format!("{}{}", "[".repeat(count), "]".repeat(count))), taken);
            assert_eq!(is_taken(&"{\"a\":".repeat(count)), taken);
        }
        assert!(is_taken(&format!("[0{}]", ",0".repeat(MEMBERS_MAX - 1))));
        assert!(!is_taken(&format!("[0{}]", ",0".repeat(MEMBERS_MAX))));
        assert!(is_taken(&"[]".repeat(DEPTH_MAX + 1)));
    }

    #[test]
    fn what_stands_in_a_string_counts_for_nothing() {
        let content = format!(r#"{{"Content": "{}\"{}\\"}}"#, "[,".repeat(MEMBERS_MAX), "{".repeat(99));
        assert!(is_taken(&content));
        assert!(!is_taken(&format!("{content}{}", "[".repeat(99))));
        assert!(is_taken("\"never ends [[[ \\"));
    }
}
