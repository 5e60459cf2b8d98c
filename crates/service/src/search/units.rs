//! What a text says: its units, in their order, and where in the text each stands.
//!
//! A unit is a word, or a single letter of a script that is written without blanks (and of Korean, whose words carry
//! their particles with them), or a picture. Letters are compared in their compatible form, without regard to case and
//! without the marks that readers leave out: accents, the vowel points of Arabic and Hebrew, and characters that are
//! not seen. Marks that make another letter or another vowel stay: those of Indic scripts, of Thai and its neighbours,
//! and of kana. Whatever else stands between units says nothing: `e-mail` is `e mail`, and `user_name` two words.
//!
//! The text is taken apart by grapheme clusters, each folded by itself, so that a unit begins and ends where a reader
//! sees characters begin and end, however much folding changed their length.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation as _;

/// What this makes of a text is stored, as hashes. It must be raised with whatever is changed here, also by another
/// version of Unicode: then indexes are made anew.
pub(crate) const FOLDING: u32 = 1;

/// A text, folded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    folded: String,
    units: Vec<Unit>,
}

/// A word, or a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unit {
    /// Where it stands in the folded text.
    folded: (u32, u32),
    /// Where it stands in the text as it was written, in bytes.
    written: (u32, u32),
    is_letter: bool,
}

impl Units {
    /// Folds a text and takes it apart.
    pub(crate) fn of(text: &str) -> Self {
        let mut maker = Maker::default();
        for (at, cluster) in text.grapheme_indices(true) {
            let until = at + cluster.len();
            if let [byte] = cluster.as_bytes() {
                maker.push(byte.to_ascii_lowercase().into(), (at, until));
                continue;
            }
            for char in fold(cluster) {
                maker.push(char, (at, until));
            }
        }
        maker.end_word();
        maker.units
    }

    pub(crate) fn len(&self) -> usize {
        self.units.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The text of a unit, and whether it is a letter.
    pub(crate) fn get(&self, at: usize) -> (&str, bool) {
        let Unit { folded: (from, until), is_letter, .. } = self.units[at];
        (&self.folded[from as usize..until as usize], is_letter)
    }

    /// Where these units stand in the text as it was written.
    fn written(&self, units: Range<usize>) -> Range<usize> {
        let (first, last) = (self.units[units.start], self.units[units.end - 1]);
        first.written.0 as usize..last.written.1 as usize
    }

    fn has_at(&self, at: usize, sought: &Self) -> bool {
        (0..sought.len()).all(|offset| self.get(at + offset) == sought.get(offset))
    }

    /// Where in the text, as it was written, other units stand in a row.
    pub(crate) fn find<'a>(&'a self, sought: &'a Self) -> impl Iterator<Item = Range<usize>> + 'a {
        let starts = 0..(self.len() + 1).saturating_sub(sought.len());
        let starts = if sought.is_empty() { 0..0 } else { starts };
        let found = starts.filter(move |at| self.has_at(*at, sought));
        found.map(move |at| self.written(at..at + sought.len()))
    }
}

/// The characters of a cluster, as they are compared.
fn fold(cluster: &str) -> impl Iterator<Item = char> + '_ {
    // Up and down again is what the full folding of case comes to: `ß` is `ss`, a final sigma a sigma, and the dotless
    // i an i.
    let lower = |char: char| {
        let upper = char.to_lowercase().flat_map(char::to_uppercase);
        upper.flat_map(char::to_lowercase)
    };
    let seen = |char: &char| !is_left_out(*char);
    cluster.nfkd().filter(seen).flat_map(lower).nfkd().filter(seen).nfc()
}

#[derive(Default)]
struct Maker {
    units: Units,
    /// Where the word that is being read began.
    word: Option<Unit>,
}

impl Maker {
    fn push(&mut self, char: char, (from, until): (usize, usize)) {
        // Content is far shorter than what 32 bits count.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (is_letter, is_of_word) = (is_letter(char), char.is_alphanumeric() || is_combining_mark(char));
        if is_letter || !is_of_word {
            self.end_word();
        }
        if !is_letter && !is_of_word {
            return;
        }
        let begins = place(self.units.folded.len());
        self.units.folded.push(char);
        let ends = place(self.units.folded.len());
        let unit = Unit { folded: (begins, ends), written: (place(from), place(until)), is_letter };
        if is_letter {
            self.units.units.push(unit);
            return;
        }
        let word = self.word.get_or_insert(unit);
        (word.folded.1, word.written.1) = (unit.folded.1, unit.written.1);
    }

    fn end_word(&mut self) {
        self.units.units.extend(self.word.take());
    }
}

/// Whether a character is not there for whoever compares: a mark that readers leave out, or one that nobody sees.
fn is_left_out(char: char) -> bool {
    match char {
        // The soft hyphen, the stretched line of Arabic, joiners, directions, what chooses a variant, and shades of
        // skin.
        '\u{ad}'
        | '\u{61c}'
        | '\u{640}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        // Marks of Thaana, of Indic scripts and their neighbours, and the voicing of kana.
        '\u{7a6}'..='\u{7b0}'
        | '\u{900}'..='\u{1ccf}'
        | '\u{3099}'..='\u{309a}'
        | '\u{a800}'..='\u{abff}'
        | '\u{11000}'..='\u{1247f}' => false,
        _ => is_combining_mark(char),
    }
}

/// Whether a character is a unit by itself.
fn is_letter(char: char) -> bool {
    let is_of_them = matches!(char,
        // Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham.
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{1950}'..='\u{19ff}'
        | '\u{1a20}'..='\u{1aaf}'
        // Kana, Bopomofo, Han, Hangul.
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{3029}'
        | '\u{3031}'..='\u{318f}'
        | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{aa60}'..='\u{aa7f}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{1100}'..='\u{11ff}'
        | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{3ffff}');
    let is_picture = matches!(char,
        '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}');
    // Their digits make numbers, and their marks of punctuation say nothing.
    is_picture
        || (is_of_them
            && !is_digit(char)
            && (char.is_alphabetic() || is_combining_mark(char) || is_han_like(char)))
}

fn is_digit(char: char) -> bool {
    char.is_numeric() && !char.is_alphabetic()
}

/// The marks of repetition, and Han numerals.
fn is_han_like(char: char) -> bool {
    matches!(char, '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<String> {
        let units = Units::of(text);
        (0..units.len()).map(|at| units.get(at).0.to_owned()).collect()
    }

    fn found(text: &str, sought: &str) -> Vec<String> {
        let (units, sought) = (Units::of(text), Units::of(sought));
        units.find(&sought).map(|range| text[range].to_owned()).collect()
    }

    #[test]
    fn words_are_taken_apart_and_folded() {
        for (text, units) in [
            ("Hello, World!", vec!["hello", "world"]),
            (
                "e-mail user_name can't example.com",
                vec!["e", "mail", "user", "name", "can", "t", "example", "com"],
            ),
            ("Straße STRASSE ẞ", vec!["strasse", "strasse", "ss"]),
            ("Café CAFE\u{301} naïve", vec!["cafe", "cafe", "naive"]),
            ("Ωμέγας ΩΜΕΓΑΣ", vec!["ωμεγασ", "ωμεγασ"]),
            ("İstanbul ISTANBUL ıstanbul", vec!["istanbul", "istanbul", "istanbul"]),
            ("Ёлка елка", vec!["елка", "елка"]),
            ("ﬁne ＡＢＣ １２３", vec!["fine", "abc", "123"]),
            ("كِتَابٌ كتاب كـتـاب", vec!["كتاب", "كتاب", "كتاب"]),
            ("שָׁלוֹם שלום", vec!["שלום", "שלום"]),
            ("می\u{200c}خواهم", vec!["میخواهم"]),
            ("हिन्दी में", vec!["हिन्दी", "में"]),
            ("東京都へ", vec!["東", "京", "都", "へ"]),
            ("ｶﾞｷﾞ がか", vec!["ガ", "ギ", "が", "か"]),
            ("ไม่ดี", vec!["ไ", "ม", "\u{e48}", "ด", "\u{e35}"]),
            ("iPhone手机15", vec!["iphone", "手", "机", "15"]),
            ("학교에", vec!["학", "교", "에"]),
            ("👍🏽 👩\u{200d}🚀!", vec!["👍", "👩", "🚀"]),
            ("、。「」 …", vec![]),
        ] {
            assert_eq!(all(text), units, "{text}");
        }
    }

    #[test]
    fn what_is_found_is_shown_as_it_was_written() {
        assert_eq!(found("Un CAFE\u{301}, un café.", "cafe"), ["CAFE\u{301}", "café"]);
        assert_eq!(found("hello, World; hello world", "\"HELLO world\""), ["hello, World", "hello world"]);
        assert_eq!(found("cat concatenate cat", "cat"), ["cat", "cat"]);
        assert_eq!(found("東京、東京都", "東京"), ["東京", "東京"]);
        assert_eq!(found("ไม่ดี", "ไม"), ["ไม่"]);
        assert_eq!(found("ﷺ", "الله"), ["ﷺ"]);
        assert_eq!(found("nothing", ""), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn folding_what_is_folded_changes_nothing(text in "\\PC{0,40}") {
            let once = all(&text);
            let again: Vec<String> = once.iter().flat_map(|unit| all(unit)).collect();
            prop_assert_eq!(once, again);
        }

        #[test]
        fn units_stand_in_their_order_where_characters_begin(text in "\\PC{0,40}") {
            let units = Units::of(&text);
            // One character may be several units, and parts of two words.
            let mut last = 0..0;
            for at in 0..units.len() {
                let range = units.written(at..at + 1);
                prop_assert!(text.get(range.clone()).is_some());
                prop_assert!(last.start <= range.start && last.end <= range.end, "{:?} after {:?}", range, last);
                last = range;
            }
        }
    }
}
