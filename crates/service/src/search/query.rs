//! What a search asks for.
//!
//! | written | asks for messages |
//! |---|---|
//! | `lunch` | that have the word; of a script without blanks, these letters in a row |
//! | `"at the station"` | that have the words in a row |
//! | `-lunch`, `-"at noon"` | that have them not |
//! | `from:ana`, `-from:ana` | that the user or the bot with this id sent, or did not |
//!
//! Everything must hold; of several `from:`, one. What is no word (`?`, `...`) asks for nothing.

use std::ops::Range;

use super::units::Units;

/// How many words, phrases and senders a query may have.
pub(crate) const PARTS_MAX: usize = 32;
/// How many places in a message are shown.
pub(crate) const HIGHLIGHTS_MAX: usize = 100;

/// What a search asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Units that must stand in a row, each list of them somewhere.
    pub(crate) sought: Vec<Units>,
    /// Those that must not.
    pub(crate) refused: Vec<Units>,
    /// Ids, one of which must be the sender's; nothing where anybody's may be.
    pub(crate) senders: Vec<String>,
    /// Those that must not be.
    pub(crate) not_senders: Vec<String>,
}

impl Query {
    /// Reads a query, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut query, mut rest) = (Self::default(), text.trim_start());
        let mut parts = 0;
        while !rest.is_empty() {
            parts += 1;
            if PARTS_MAX < parts {
                return Err(format!("must have at most {PARTS_MAX} words, phrases and senders"));
            }
            rest = query.take(rest).trim_start();
        }
        if query.sought.is_empty() && query.senders.is_empty() {
            let has_negation = !(query.refused.is_empty() && query.not_senders.is_empty());
            return Err(if has_negation {
                "must ask for something, not only refuse something".to_owned()
            } else {
                "has no word to look for".to_owned()
            });
        }
        Ok(query)
    }

    /// Takes the next part; answers the rest.
    fn take<'a>(&mut self, text: &'a str) -> &'a str {
        let negated = text.strip_prefix('-');
        let rest = negated.unwrap_or(text);
        let (units, after) = if let Some(quoted) = rest.strip_prefix(is_quote) {
            let (phrase, after) = quoted.split_once(is_quote).unwrap_or((quoted, ""));
            (Units::of(phrase), after)
        } else {
            let end = rest.find(|char: char| char.is_whitespace() || is_quote(char)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if let Some(sender) = sender(word) {
                let senders = if negated.is_some() { &mut self.not_senders } else { &mut self.senders };
                senders.push(sender.to_owned());
                return after;
            }
            (Units::of(word), after)
        };
        if !units.is_empty() {
            if negated.is_some() { self.refused.push(units) } else { self.sought.push(units) }
        }
        after
    }

    /// Where a message has what is asked for, in bytes of its text, in order; nothing where it is none of those that
    /// are.
    pub(crate) fn find(&self, content: &str, sender: &str) -> Option<Vec<Range<usize>>> {
        let is_sender = |id: &String| id == sender;
        let is_meant = self.senders.is_empty() || self.senders.iter().any(is_sender);
        if !is_meant || self.not_senders.iter().any(is_sender) {
            return None;
        }
        let units = Units::of(content);
        let has = |sought: &Units| units.find(sought).next().is_some();
        if !self.sought.iter().all(has) || self.refused.iter().any(has) {
            return None;
        }
        let mut found: Vec<_> = self.sought.iter().flat_map(|sought| units.find(sought)).collect();
        found.sort_by_key(|range| (range.start, range.end));
        Some(joined(found))
    }
}

/// Ranges that meet, as one.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined.truncate(HIGHLIGHTS_MAX);
    joined
}

/// Quotes, those that keyboards make of them too.
fn is_quote(char: char) -> bool {
    matches!(char, '"' | '“' | '”' | '„' | '＂')
}

fn sender(word: &str) -> Option<&str> {
    let (name, id) = word.split_once(':')?;
    (name.eq_ignore_ascii_case("from") && !id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap()
    }

    #[test]
    fn words_phrases_negations_and_senders() {
        let read = query(r#"Lunch -"at noon" “the station” from:ana -from:bob.smith@x -tea ..."#);
        assert_eq!(read.sought, [Units::of("lunch"), Units::of("the station")]);
        assert_eq!(read.refused, [Units::of("at noon"), Units::of("tea")]);
        assert_eq!(
            (read.senders, read.not_senders),
            (vec!["ana".to_owned()], vec!["bob.smith@x".to_owned()])
        );
        assert_eq!(query("from: x").sought, [Units::of("from"), Units::of("x")]);
        assert_eq!(query("\"never ends").sought, [Units::of("never ends")]);
        assert_eq!(query("two\"three four\"").sought, [Units::of("two"), Units::of("three four")]);
        assert_eq!(query("from:ana").senders, ["ana"]);
    }

    #[test]
    fn what_asks_for_nothing_is_refused() {
        for (text, says) in [
            ("-tea", "not only refuse"),
            ("-from:ana", "not only refuse"),
            ("", "no word"),
            ("  ?! \"\" - ", "no word"),
            (&"a ".repeat(33), "at most 32"),
        ] {
            assert!(Query::parse(text).unwrap_err().contains(says), "{text}");
        }
        query(&"a ".repeat(32));
    }

    #[test]
    fn what_is_found_is_joined_where_it_meets() {
        let found = |text: &str, content: &str| query(text).find(content, "ana");
        assert_eq!(found("lunch", "Lunch? lunch"), Some(vec![0..5, 7..12]));
        assert_eq!(found("\"a b\" \"b c\" a", "a b c a"), Some(vec![0..5, 6..7]));
        assert_eq!(found("lunch -tea", "lunch and tea"), None);
        assert_eq!(found("lunch from:bob", "lunch"), None);
        assert_eq!(found("from:ana", "lunch"), Some(vec![]));
        assert_eq!(found("a", &"a ".repeat(200)).unwrap().len(), HIGHLIGHTS_MAX);
    }
}
