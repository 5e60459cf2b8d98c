//! Filter rules: which messages a member is notified of, by the attributes of the message.
//!
//! A rule is JSON text: `{"mention":["Bob"]}`, `{"type":[{"anything-but":["Room"]}]}`, several keys for *and*,
//! `"$or"` for *or*. Texts are compared exactly; there are no prefixes, numbers or tests of existence. The module
//! knows nothing of who is notified, or how.

use serde_json::{Map, Value};

use crate::message::Attributes;
use crate::text::{FilterRule, MessageAttributeStringValue, Violation};

/// Bytes of a rule's text.
pub const BYTES_MAX: usize = 2048;
/// Keys and values of a whole rule, each counted once; `$or` and `anything-but` are not.
pub const COMPLEXITY_MAX: usize = 20;
/// Alternatives of one `$or`.
pub const ALTERNATIVES_MAX: usize = 5;

/// A rule that was read: a message passes when every test holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule(Vec<Test>);

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Some condition on the values of this key holds.
    Key(String, Vec<Condition>),
    /// Some alternative holds.
    Or(Vec<Rule>),
}

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    /// One of the values is this.
    Is(String),
    /// None of the values is one of these.
    AnythingBut(Vec<String>),
}

impl Rule {
    /// Reads a rule.
    pub fn read(text: &FilterRule) -> Result<Self, Violation> {
        let length = text.as_str().len();
        if BYTES_MAX < length {
            return Err(Violation::new(format!("must have at most {BYTES_MAX} bytes, not {length}")));
        }
        let value = serde_json::from_str(text.as_str()).map_err(|_| Violation::new("must be JSON"))?;
        let rule = Self::read_object(&value)?;
        let complexity = rule.complexity();
        if COMPLEXITY_MAX < complexity {
            let words =
                format!("must have at most {COMPLEXITY_MAX} keys and values together, not {complexity}");
            return Err(Violation::new(words));
        }
        Ok(rule)
    }

    /// Whether a message with these attributes passes.
    pub fn passes(&self, attributes: &Attributes) -> bool {
        self.0.iter().all(|test| test.holds(attributes))
    }

    fn read_object(value: &Value) -> Result<Self, Violation> {
        let object = value.as_object().filter(|object| !object.is_empty());
        let object = object.ok_or(Violation::new("a rule must be an object with at least one key"))?;
        object.iter().map(|(key, value)| Test::read(key, value)).collect::<Result<_, _>>().map(Self)
    }

    fn complexity(&self) -> usize {
        self.0.iter().map(Test::complexity).sum()
    }
}

impl Test {
    fn read(key: &str, value: &Value) -> Result<Self, Violation> {
        let list = value.as_array().filter(|list| !list.is_empty());
        let list =
            list.ok_or_else(|| Violation::new(format!("{key}: must be a list with at least one entry")))?;
        if key == "$or" {
            if ALTERNATIVES_MAX < list.len() {
                let words = format!("$or: must have at most {ALTERNATIVES_MAX} entries, not {}", list.len());
                return Err(Violation::new(words));
            }
            return list.iter().map(Rule::read_object).collect::<Result<_, _>>().map(Self::Or);
        }
        if key.starts_with('$') {
            return Err(Violation::new(format!("{key}: the only operator between keys is $or")));
        }
        let conditions = list.iter().map(Condition::read).collect::<Result<_, _>>()?;
        Ok(Self::Key(key.to_owned(), conditions))
    }

    fn complexity(&self) -> usize {
        match self {
            Self::Key(_, conditions) => 1 + conditions.iter().map(Condition::complexity).sum::<usize>(),
            Self::Or(alternatives) => alternatives.iter().map(Rule::complexity).sum(),
        }
    }

    fn holds(&self, attributes: &Attributes) -> bool {
        match self {
            Self::Key(key, conditions) => {
                let found = attributes.iter().find(|(name, _)| name.as_str() == key);
                let values: Vec<&str> = found
                    .into_iter()
                    .flat_map(|(_, values)| values)
                    .map(MessageAttributeStringValue::as_str)
                    .collect();
                conditions.iter().any(|condition| condition.holds(&values))
            }
            Self::Or(alternatives) => alternatives.iter().any(|alternative| alternative.passes(attributes)),
        }
    }
}

impl Condition {
    fn read(value: &Value) -> Result<Self, Violation> {
        match value {
            Value::String(text) => Ok(Self::Is(text.clone())),
            Value::Object(object) => Self::read_exclusion(object),
            _ => Err(Violation::new("a value must be a text or an anything-but")),
        }
    }

    fn read_exclusion(object: &Map<String, Value>) -> Result<Self, Violation> {
        let list = object.get("anything-but").and_then(Value::as_array);
        let list = list
            .filter(|list| object.len() == 1 && !list.is_empty())
            .ok_or(Violation::new("the only operator on values is anything-but, with at least one text"))?;
        let texts = list.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>();
        texts.map(Self::AnythingBut).ok_or(Violation::new("anything-but: must be a list of texts"))
    }

    fn complexity(&self) -> usize {
        match self {
            Self::Is(_) => 1,
            Self::AnythingBut(texts) => texts.len(),
        }
    }

    fn holds(&self, values: &[&str]) -> bool {
        match self {
            Self::Is(text) => values.contains(&text.as_str()),
            Self::AnythingBut(texts) => !values.iter().any(|value| texts.iter().any(|text| text == value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule, the attributes of a message, and whether it passes.
    type Case = (&'static str, &'static [(&'static str, &'static [&'static str])], bool);

    fn read(text: &str) -> Result<Rule, Violation> {
        Rule::read(&text.parse().unwrap())
    }

    fn attributes(of: &[(&str, &[&str])]) -> Attributes {
        let values = |values: &[&str]| values.iter().map(|value| value.parse().unwrap()).collect();
        of.iter().map(|(key, all)| (key.parse().unwrap(), values(all))).collect()
    }

    #[test]
    fn a_message_passes_by_its_attributes() {
        let bob = r#"{"mention":["Bob"]}"#;
        let not_room = r#"{"type":[{"anything-but":["Room"]}]}"#;
        let both = r#"{"type":[{"anything-but":["Room"]}],"mention":["Bob"]}"#;
        let either = r#"{"$or":[{"mention":["Bob"]},{"type":[{"anything-but":["Room"]}]}]}"#;
        let mixed = r#"{"type":["Room",{"anything-but":["Hall"]}]}"#;
        let beside = r#"{"$or":[{"a":["1"]},{"a":["2"]}],"b":["3"]}"#;
        let table: [Case; 18] = [
            (bob, &[("mention", &["Bob", "Alice"])], true),
            (bob, &[("mention", &["Tom"])], false),
            (bob, &[("mention", &["bob"])], false),
            (bob, &[("mention", &[])], false),
            (bob, &[], false),
            (not_room, &[("type", &["Conversation"])], true),
            (not_room, &[("type", &["Room"])], false),
            (not_room, &[("type", &["Room", "Conversation"])], false),
            (not_room, &[], true),
            (both, &[("mention", &["Bob"]), ("type", &["Conversation"])], true),
            (both, &[("mention", &["Bob"]), ("type", &["Room"])], false),
            (either, &[("mention", &["Bob"]), ("type", &["Room"])], true),
            (either, &[("type", &["Conversation"])], true),
            (either, &[("type", &["Room"])], false),
            (mixed, &[("type", &["Room", "Hall"])], true),
            (mixed, &[("type", &["Hall"])], false),
            (beside, &[("a", &["2"]), ("b", &["3"])], true),
            (beside, &[("a", &["2"])], false),
        ];
        for (rule, with, passes) in table {
            assert_eq!(read(rule).unwrap().passes(&attributes(with)), passes, "{rule} {with:?}");
        }
    }

    #[test]
    fn what_is_not_of_the_grammar_is_refused() {
        for bad in [
            "mention",
            "{",
            "[]",
            "\"Bob\"",
            "null",
            "{}",
            r#"{"a":[]}"#,
            r#"{"a":"b"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[null]}"#,
            r#"{"a":[["b"]]}"#,
            r#"{"a":[{}]}"#,
            r#"{"a":[{"prefix":"b"}]}"#,
            r#"{"a":[{"anything-but":[]}]}"#,
            r#"{"a":[{"anything-but":"b"}]}"#,
            r#"{"a":[{"anything-but":[1]}]}"#,
            r#"{"a":[{"anything-but":["b"],"prefix":"b"}]}"#,
            r#"{"$and":[{"a":["b"]}]}"#,
            r#"{"$or":[]}"#,
            r#"{"$or":{"a":["b"]}}"#,
            r#"{"$or":["a"]}"#,
            r#"{"$or":[{}]}"#,
            r#"{"a":["b"]} {}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_and_values_are_counted_up_to_the_limit() {
        let values = |count: usize| vec!["\"v\""; count].join(",");
        assert!(read(&format!(r#"{{"k":[{}]}}"#, values(19))).is_ok());
        assert!(read(&format!(r#"{{"k":[{}]}}"#, values(20))).is_err());
        assert!(read(&format!(r#"{{"k":[{{"anything-but":[{}]}}]}}"#, values(19))).is_ok());
        assert!(read(&format!(r#"{{"k":[{{"anything-but":[{}]}}]}}"#, values(20))).is_err());
        let or = |count: usize| format!(r#"{{"$or":[{}]}}"#, vec![r#"{"k":["v"]}"#; count].join(","));
        assert!(read(&or(5)).is_ok());
        assert!(read(&or(6)).is_err());
        let long = |bytes: usize| format!(r#"{{"k":["{}"]}}"#, "v".repeat(bytes - 10));
        assert!(read(&long(BYTES_MAX)).is_ok());
        assert!(read(&long(BYTES_MAX + 1)).is_err());
    }
}
