//! One operator with one key and its values.

use super::operands::Operands;
use super::operator::{Operator, Quantifier};
use super::pattern::{Pattern, Version, is_key};
use super::verdict::{Effect, Sense, Verdict};
use super::{Context, Malformed, Value};

#[derive(Clone, Debug)]
pub(super) struct Condition {
    operator: Operator,
    key: String,
    operands: Operands,
}

impl Condition {
    pub(super) fn parse(
        operator: Operator,
        key: &str,
        values: &[String],
        version: Version,
    ) -> Result<Self, Malformed> {
        if !is_key(key) {
            return Err(Malformed::new("is not a condition key, as aws:username is"));
        }
        let operands = Operands::parse(operator.comparison, values, version)?;
        Ok(Self { operator, key: key.to_owned(), operands })
    }

    /// The keys that it reads: its own, and those of its variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let patterns = self.operands.patterns().iter();
        std::iter::once(self.key.as_str()).chain(patterns.flat_map(Pattern::keys))
    }

    /// The key whose value it is about.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn holds(&self, context: &Context<'_>, effect: Effect) -> bool {
        let value = context.get(&self.key);
        match (value, &self.operands) {
            (None, Operands::Null(absent)) => *absent,
            (None, _) => self.holds_without_value(),
            (Some(value), _) => self.holds_for(value, context, effect),
        }
    }

    /// A negated operator holds for what is not there, unless it asks for some value.
    fn holds_without_value(&self) -> bool {
        self.operator.if_exists
            || match self.operator.quantifier {
                Some(Quantifier::All) => true,
                Some(Quantifier::Any) => false,
                None => self.operator.sense == Sense::Others,
            }
    }

    fn holds_for(&self, value: Value<'_>, context: &Context<'_>, effect: Effect) -> bool {
        let mut verdicts = value.singles().map(|single| self.operands.compare(single, context));
        let sense = self.operator.sense;
        match self.operator.quantifier {
            Some(Quantifier::All) => verdicts.all(|verdict| verdict.settle(sense, effect)),
            Some(Quantifier::Any) => verdicts.any(|verdict| verdict.settle(sense, effect)),
            None => Verdict::any(verdicts).settle(sense, effect),
        }
    }
}
