//! Rust source split into what the compiler reads and what only people read.
//!
//! It knows comments, strings, raw strings, and characters beside lifetimes; that is all the rules need of a lexer.

/// The lines of a file, twice; both keep the line numbers of the original.
pub(super) struct Source {
    /// Without comments.
    pub(super) code: Vec<String>,
    /// Without comments and without what stands between the quotes of strings.
    pub(super) bare: Vec<String>,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let (mut code, mut bare) = (String::new(), String::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (length, kind) = token(rest, first, bare.chars().next_back());
            let (token, after) = rest.split_at(length);
            let blank: String = token.chars().filter(|&character| character == '\n').collect();
            code.push_str(if kind == Kind::Comment { &blank } else { token });
            match kind {
                Kind::Code => bare.push_str(token),
                Kind::Comment => bare.push_str(&blank),
                Kind::Text => bare.extend(["\"", &blank, "\""]),
            }
            rest = after;
        }
        let lines = |text: &str| text.split('\n').map(str::to_owned).collect();
        Self { code: lines(&code), bare: lines(&bare) }
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// The length in bytes of what begins here, and what it is.
fn token(rest: &str, first: char, before: Option<char>) -> (usize, Kind) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Comment);
    }
    if first == '"' {
        return (quoted(rest, '"'), Kind::Text);
    }
    if first == '\'' {
        return character(rest).map_or((1, Kind::Code), |length| (length, Kind::Text));
    }
    let in_word = before.is_some_and(|before| before.is_alphanumeric() || before == '_');
    if first == 'r'
        && (!in_word || before == Some('b'))
        && let Some(length) = raw_string(rest)
    {
        return (length, Kind::Text);
    }
    (first.len_utf8(), Kind::Code)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && character == '\\';
    }
    rest.len()
}

/// A character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|&byte| byte == b'#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, bare: &str) {
        let source = Source::parse(text);
        assert_eq!(source.code.join("\n"), code);
        assert_eq!(source.bare.join("\n"), bare);
    }

    #[test]
    fn comments_go_and_strings_stay_in_the_code() {
        check("let a = \"x // y\"; // z", "let a = \"x // y\"; ", "let a = \"\"; ");
        check("a /* b /* c */ \n d */ e", "a \n e", "a \n e");
        check("//! doc\nfn f() {}", "\nfn f() {}", "\nfn f() {}");
    }

    #[test]
    fn quotes_in_quotes_do_not_end_a_string() {
        check(r#"f("a\"b", 'c', '"', '\'') // d"#, r#"f("a\"b", 'c', '"', '\'') "#, r#"f("", "", "", "") "#);
        check("f(r#\"a\"b\"#, br\"//\")", "f(r#\"a\"b\"#, br\"//\")", "f(\"\", b\"\")");
    }

    #[test]
    fn a_lifetime_is_no_character() {
        check("fn f<'a>(x: &'a str) // y", "fn f<'a>(x: &'a str) ", "fn f<'a>(x: &'a str) ");
    }
}
