//! Tables in Markdown, and how figures stand in them.

use std::fmt::Write as _;

/// The median of some figures, with the least and the greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// In the middle.
    pub(crate) median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    /// Of these; nothing where there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_unstable_by(f64::total_cmp);
        let (least, greatest) = (*figures.first()?, *figures.last()?);
        let half = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[half]
        } else {
            f64::midpoint(figures[half - 1], figures[half])
        };
        Some(Self { median, least, greatest })
    }

    /// The median, and the others in parentheses where they differ.
    pub(crate) fn shown(self, figure: fn(f64) -> String) -> String {
        let (median, least, greatest) = (figure(self.median), figure(self.least), figure(self.greatest));
        if least == greatest { median } else { format!("{median} ({least} – {greatest})") }
    }
}

/// A table that is being filled.
pub(crate) struct Table {
    columns: usize,
    text: String,
}

impl Table {
    /// With these heads; all but the first columns of words stand to the right.
    pub(crate) fn new<S: AsRef<str>>(heads: &[S]) -> Self {
        let mut table = Self { columns: heads.len(), text: String::new() };
        table.row(heads.iter().map(|head| head.as_ref().to_owned()).collect::<Vec<_>>());
        let _ = writeln!(table.text, "|---|{}", "--:|".repeat(table.columns - 1));
        table
    }

    /// One row more.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().take(self.columns).collect();
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// The table under a title; nothing where there is no row.
    pub(crate) fn titled(self, title: &str) -> String {
        // The head, and the line below it.
        if self.text.lines().count() == 2 {
            return String::new();
        }
        format!("\n## {title}\n\n{}", self.text)
    }
}

/// A whole number, its thousands apart; below ten with two places.
pub(crate) fn grouped(figure: f64) -> String {
    if figure < 10.0 {
        return fixed(figure, 2);
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With so many places.
pub(crate) fn fixed(figure: f64, places: usize) -> String {
    format!("{figure:.places$}")
}

/// How many times as much.
pub(crate) fn times(ratio: f64) -> String {
    let places = if ratio < 10.0 { 2 } else { 0 };
    format!("{ratio:.places$} ×")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_their_spread() {
        assert_eq!(Spread::of([3.0, 1_000.0, 20.0]).unwrap().shown(grouped), "20 (3.00 – 1,000)");
        assert_eq!(fixed(Spread::of([3.0, 4.0]).unwrap().median, 1), "3.5");
        assert_eq!(Spread::of([12_345.6]).unwrap().shown(grouped), "12,346");
        assert_eq!(Spread::of([]), None);
        assert_eq!((times(0.5), times(20.4)), ("0.50 ×".to_owned(), "20 ×".to_owned()));
    }

    #[test]
    fn a_table_has_a_head_and_rows() {
        let mut table = Table::new(&["a", "b"]);
        table.row(["x".to_owned(), "1".to_owned()]);
        assert_eq!(table.titled("t"), "\n## t\n\n| a | b |\n|---|--:|\n| x | 1 |\n");
        assert_eq!(Table::new(&["a", "b"]).titled("t"), "");
    }
}
