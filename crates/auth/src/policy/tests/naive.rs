//! A second evaluator, written to be read: straight over `serde_json::Value`, nothing compiled, matching by
//! recursion. It shares no code with the first, so where both agree, neither has slipped.
//!
//! It knows well-formed policies only.

use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value as Json;

use super::{Given, Owned};

/// What follows `${`.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([^}',]*)(?:,\s*'([^']*)'\s*)?\}").unwrap());
static DECIMAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[-+]?[0-9]*\.?[0-9]*$").unwrap());
static DAY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$").unwrap());

pub(super) struct Naive {
    documents: Vec<Json>,
}

/// Yes, no, or not to be known.
type Answer = Option<bool>;

/// A character of a pattern with its variables replaced.
#[derive(Clone, Debug, PartialEq)]
enum Char {
    Plain(char),
    Star,
    Question,
}

impl Naive {
    pub(super) fn new(documents: &[String]) -> Self {
        Self { documents: documents.iter().map(|text| serde_json::from_str(text).unwrap()).collect() }
    }

    pub(super) fn decide(&self, given: &Given, action: &str, resource: &str) -> &'static str {
        let mut answer = "none";
        for document in &self.documents {
            let variables = document["Version"] == "2012-10-17";
            for statement in list(&document["Statement"]) {
                let ask = Ask { given, variables, denies: statement["Effect"] == "Deny" };
                if ask.matches(statement, action, resource) {
                    if ask.denies {
                        return "deny";
                    }
                    answer = "allow";
                }
            }
        }
        answer
    }
}

fn list(json: &Json) -> Vec<&Json> {
    match json {
        Json::Array(items) => items.iter().collect(),
        Json::Null => Vec::new(),
        single => vec![single],
    }
}

fn written(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

/// A request, as one statement looks at it.
struct Ask<'a> {
    given: &'a Given,
    variables: bool,
    denies: bool,
}

impl Ask<'_> {
    fn matches(&self, statement: &Json, action: &str, resource: &str) -> bool {
        let actions = |element: &str| {
            let patterns = list(&statement[element]).into_iter().map(|pattern| {
                let pattern: Vec<Char> = written(pattern).to_ascii_lowercase().chars().map(wild).collect();
                Some(glob(&pattern, &letters(&action.to_ascii_lowercase()), 0))
            });
            self.settle(some(patterns), element.starts_with("Not"))
        };
        let resources = |element: &str| {
            let patterns = list(&statement[element])
                .into_iter()
                .map(|pattern| Some(glob(&self.expand(&written(pattern), true)?, &letters(resource), 0)));
            self.settle(some(patterns), element.starts_with("Not"))
        };
        let actions_hold =
            statement.get("Action").map_or_else(|| actions("NotAction"), |_| actions("Action"));
        let resources_hold =
            statement.get("Resource").map_or_else(|| resources("NotResource"), |_| resources("Resource"));
        actions_hold && resources_hold && self.conditions_hold(&statement["Condition"])
    }

    /// The unknown is no match, and being no match counts only against the caller.
    fn settle(&self, answer: Answer, negated: bool) -> bool {
        match answer {
            Some(answer) => answer != negated,
            None => negated && self.denies,
        }
    }

    fn conditions_hold(&self, conditions: &Json) -> bool {
        let Some(operators) = conditions.as_object() else { return true };
        operators.iter().all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, values)| {
                let values: Vec<String> = list(values).into_iter().map(written).collect();
                self.condition_holds(&operator.to_lowercase(), key, &values)
            })
        })
    }

    fn condition_holds(&self, operator: &str, key: &str, values: &[String]) -> bool {
        let actual = self.find(key);
        if operator == "null" {
            return actual.is_none() == (values[0] == "true");
        }
        let (for_all, for_any) =
            (operator.starts_with("forallvalues:"), operator.starts_with("foranyvalue:"));
        let plain = operator.rsplit(':').next().unwrap();
        let base = plain.trim_end_matches("ifexists");
        let negated = base.contains("not");
        let Some(actual) = actual else { return plain != base || for_all || (!for_any && negated) };
        let one = |single: &Single| some(values.iter().map(|value| self.compare(base, single, value)));
        if for_all {
            actual.iter().all(|single| self.settle(one(single), negated))
        } else if for_any {
            actual.iter().any(|single| self.settle(one(single), negated))
        } else {
            self.settle(some(actual.iter().map(one)), negated)
        }
    }

    /// Whether a value is what the operator without its "not" demands.
    fn compare(&self, operator: &str, actual: &Single, value: &str) -> Answer {
        let text = &actual.text;
        match operator.replace("not", "").as_str() {
            "stringequals" => Some(self.plain(value)? == *text),
            "stringequalsignorecase" => Some(self.plain(value)?.to_lowercase() == text.to_lowercase()),
            "stringlike" => Some(glob(&self.expand(value, true)?, &letters(text), 0)),
            "bool" => Some(self.plain(value)?.eq_ignore_ascii_case(text)),
            "arnequals" | "arnlike" => self.compare_arn(text, value),
            "ipaddress" => in_network(text, value),
            "binaryequals" => text.ends_with('=').then(|| text == value),
            order if order.starts_with("date") => {
                let found = actual.ms.or_else(|| instant(text))?;
                Some(ordered(&order[4..], found, instant(value).unwrap()))
            }
            order => Some(ordered(&order[7..], decimal(text)?, decimal(value).unwrap())),
        }
    }

    fn compare_arn(&self, text: &str, value: &str) -> Answer {
        let pattern = self.expand(value, true)?;
        if pattern == [Char::Star] {
            return Some(true);
        }
        let is_arn = text.starts_with("arn:") && 5 <= text.matches(':').count();
        is_arn.then(|| glob(&pattern, &letters(text), 5))
    }

    fn plain(&self, value: &str) -> Option<String> {
        let chars = self.expand(value, false)?;
        Some(chars.into_iter().map(|c| if let Char::Plain(c) = c { c } else { unreachable!() }).collect())
    }

    fn expand(&self, pattern: &str, wildcards: bool) -> Option<Vec<Char>> {
        let special = |c| if wildcards { wild(c) } else { Char::Plain(c) };
        let Some(start) = pattern.find("${").filter(|_| self.variables) else {
            return Some(pattern.chars().map(special).collect());
        };
        let mut chars: Vec<Char> = pattern[..start].chars().map(special).collect();
        let rest = &pattern[start + 2..];
        let found = VARIABLE.captures(rest).unwrap();
        let key = found[1].trim();
        let value = match key {
            "*" | "?" | "$" => key.to_owned(),
            _ => self.value_of(key).or_else(|| found.get(2).map(|text| text.as_str().to_owned()))?,
        };
        chars.extend(value.chars().map(Char::Plain));
        chars.extend(self.expand(&rest[found[0].len()..], wildcards)?);
        Some(chars)
    }

    fn value_of(&self, key: &str) -> Option<String> {
        match &self.find(key)?[..] {
            [single] => Some(single.text.clone()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// The values of a key, unless it has none.
    fn find(&self, key: &str) -> Option<Vec<Single>> {
        let found = self.given.0.iter().find(|(name, _)| name.to_lowercase() == key.to_lowercase());
        let singles = match &found?.1 {
            Owned::Texts(texts) => texts.iter().map(|text| Single::of(text)).collect(),
            Owned::Text(text) => vec![Single::of(text)],
            Owned::Time(ms) => {
                let text = Timestamp::from_millisecond(*ms).unwrap().to_string();
                vec![Single { text, ms: Some(*ms) }]
            }
            Owned::Number(number) => vec![Single::of(&number.to_string())],
            Owned::Address(address) => vec![Single::of(&address.to_canonical().to_string())],
            Owned::Bool(bool) => vec![Single::of(&bool.to_string())],
        };
        Some(singles).filter(|singles| !singles.is_empty())
    }
}

struct Single {
    text: String,
    ms: Option<i64>,
}

impl Single {
    fn of(text: &str) -> Self {
        Self { text: text.to_owned(), ms: None }
    }
}

/// Yes if one says yes; otherwise not to be known if one is not.
fn some(answers: impl Iterator<Item = Answer>) -> Answer {
    let answers: Vec<Answer> = answers.collect();
    if answers.contains(&Some(true)) {
        Some(true)
    } else if answers.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn wild(c: char) -> Char {
    match c {
        '*' => Char::Star,
        '?' => Char::Question,
        plain => Char::Plain(plain),
    }
}

fn letters(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// The definition of matching. Wildcards take none of the first `colons` colons.
fn glob(pattern: &[Char], text: &[char], colons: usize) -> bool {
    let takes = |c: char| colons == 0 || c != ':';
    let after = |c: char| if c == ':' { colons.saturating_sub(1) } else { colons };
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(Char::Star), None) => glob(&pattern[1..], text, colons),
        (Some(Char::Star), Some(&c)) => {
            glob(&pattern[1..], text, colons) || (takes(c) && glob(pattern, &text[1..], after(c)))
        }
        (None, Some(_)) | (Some(_), None) => false,
        (Some(Char::Question), Some(&c)) => takes(c) && glob(&pattern[1..], &text[1..], after(c)),
        (Some(Char::Plain(plain)), Some(&c)) => *plain == c && glob(&pattern[1..], &text[1..], after(c)),
    }
}

fn ordered<T: PartialOrd + Copy>(order: &str, actual: T, value: T) -> bool {
    match order {
        "equals" => actual == value,
        "lessthan" => actual < value,
        "lessthanequals" => actual <= value,
        "greaterthan" => actual > value,
        "greaterthanequals" => actual >= value,
        other => panic!("{other} is not an order"),
    }
}

fn decimal(text: &str) -> Option<f64> {
    if DECIMAL.is_match(text) { text.parse().ok() } else { None }
}

fn instant(text: &str) -> Option<i64> {
    let whole = if DAY.is_match(text) { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let seconds = || Some(text.parse::<i64>().ok()? * 1000);
    seconds().or_else(|| Some(whole.parse::<Timestamp>().ok()?.as_millisecond()))
}

/// By the bits, not by a library.
fn in_network(text: &str, network: &str) -> Answer {
    let bits = |text: &str| -> Option<String> {
        Some(match text.parse::<std::net::IpAddr>().ok()?.to_canonical() {
            std::net::IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
            std::net::IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
        })
    };
    let actual = bits(text)?;
    let (address, prefix) = network.split_once('/').unwrap_or((network, "128"));
    let address = bits(address).unwrap();
    let length = prefix.parse::<usize>().unwrap().min(address.len());
    Some(actual.len() == address.len() && actual[..length] == address[..length])
}
