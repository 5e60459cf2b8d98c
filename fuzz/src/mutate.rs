//! Alters an input: its bytes, and what most inputs are made of: words, numbers, quoted texts, brackets and lines.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _};

/// The most bytes of an input.
const LENGTH_MAX: usize = 64 * 1024;
/// The most steps from one input to the next.
const STEPS_MAX: usize = 6;
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "127",
    "128",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e999",
    "1.5",
];
const TEXTS: [&str; 12] =
    ["", " ", "\u{0}", "é", "😀", "\u{202e}", "%", "%00", "%ff", "\\ud800", "\\u0000", "arn:aws:chime:::"];
const PIECES: [&str; 22] = [
    "{", "}", "[", "]", "\"", ":", ",", "\\", "/", "=", "&", "?", "%", ".", "*", "$", "\n", "\r\n", "null",
    "true", "{}", "[]",
];

/// Another input, made of one of these and perhaps a second one.
pub(crate) fn mutate(random: &mut StdRng, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = corpus.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..=STEPS_MAX) {
        step(random, &mut input, corpus, words);
    }
    input.truncate(LENGTH_MAX);
    input
}

fn step(random: &mut StdRng, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    match random.random_range(0..14) {
        0 if !input.is_empty() => {
            let at = random.random_range(0..input.len());
            input[at] ^= 1 << random.random_range(0..8);
        }
        1 if !input.is_empty() => {
            let at = random.random_range(0..input.len());
            input[at] = [0, 0x7f, 0x80, 0xff, b' '].choose(random).copied().unwrap_or_default();
        }
        2 => {
            let mut bytes = vec![0; random.random_range(1..9)];
            random.fill_bytes(&mut bytes);
            insert(random, input, &bytes);
        }
        3 => {
            let range = range(random, input.len());
            input.drain(range);
        }
        4 => {
            let range = range(random, input.len());
            let part = input[range].to_vec();
            insert(random, input, &part);
        }
        5 => {
            let range = range(random, input.len().min(64));
            let part = input[range].to_vec();
            let part = part.repeat([2, 20, 300].choose(random).copied().unwrap_or(2));
            insert(random, input, &part);
        }
        6 => replace(random, input, u8::is_ascii_digit, &NUMBERS),
        7 => replace(random, input, |byte| !matches!(byte, b'"' | b'\n' | b'&' | b'='), &TEXTS),
        8 | 9 if !words.is_empty() => replace(random, input, u8::is_ascii_alphanumeric, words),
        10 if !words.is_empty() => insert_one(random, input, words),
        11 => insert_one(random, input, &PIECES),
        12 => splice(random, input, corpus),
        _ => lines(random, input),
    }
}

fn range(random: &mut StdRng, length: usize) -> std::ops::Range<usize> {
    let start = random.random_range(0..=length);
    let longest = if random.random() { 8 } else { length };
    start..random.random_range(start..=length.min(start.saturating_add(longest)))
}

fn insert(random: &mut StdRng, input: &mut Vec<u8>, bytes: &[u8]) {
    let at = random.random_range(0..=input.len());
    input.splice(at..at, bytes.iter().copied());
}

fn insert_one(random: &mut StdRng, input: &mut Vec<u8>, texts: &[&str]) {
    let text = texts.choose(random).copied().unwrap_or_default();
    insert(random, input, text.as_bytes());
}

/// Puts one of these texts in the place of a run of such bytes.
fn replace(random: &mut StdRng, input: &mut Vec<u8>, is_within: impl Fn(&u8) -> bool, texts: &[&str]) {
    let begins: Vec<usize> = (0..input.len())
        .filter(|at| is_within(&input[*at]) && (*at == 0 || !is_within(&input[*at - 1])))
        .collect();
    let Some(begin) = begins.choose(random).copied() else { return };
    let length = input[begin..].iter().take_while(|byte| is_within(byte)).count();
    let text = texts.choose(random).unwrap_or(&"");
    input.splice(begin..begin + length, text.bytes());
}

/// Goes on as another input does.
fn splice(random: &mut StdRng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let Some(other) = corpus.choose(random) else { return };
    input.truncate(random.random_range(0..=input.len()));
    input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
}

/// Drops a line, says it twice, or moves it.
fn lines(random: &mut StdRng, input: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let at = random.random_range(0..lines.len());
    match random.random_range(0..3) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at]),
        _ => {
            let other = random.random_range(0..lines.len());
            lines.swap(at, other);
        }
    }
    *input = lines.join(&b'\n');
}
