//! The names of condition operators, taken apart.

use std::cmp::Ordering;

use super::Malformed;
use super::verdict::Sense;

/// `ForAnyValue:StringNotEqualsIfExists` is a quantifier, a comparison with its sense, and a leave to be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) quantifier: Option<Quantifier>,
    pub(super) comparison: Comparison,
    pub(super) sense: Sense,
    pub(super) if_exists: bool,
}

/// Over which of a key's values an operator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Any,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Text,
    TextAnyCase,
    TextLike,
    Arn,
    Bool,
    Null,
    Number(Order),
    Date(Order),
    Address,
    Binary,
}

/// How the request's value must stand to the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(super) fn admits(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

/// Every operator; `ArnEquals` means the same as `ArnLike`, as AWS has it.
const OPERATORS: [(&str, Comparison, Sense); 28] = [
    ("StringEquals", Comparison::Text, Sense::Listed),
    ("StringNotEquals", Comparison::Text, Sense::Others),
    ("StringEqualsIgnoreCase", Comparison::TextAnyCase, Sense::Listed),
    ("StringNotEqualsIgnoreCase", Comparison::TextAnyCase, Sense::Others),
    ("StringLike", Comparison::TextLike, Sense::Listed),
    ("StringNotLike", Comparison::TextLike, Sense::Others),
    ("ArnEquals", Comparison::Arn, Sense::Listed),
    ("ArnNotEquals", Comparison::Arn, Sense::Others),
    ("ArnLike", Comparison::Arn, Sense::Listed),
    ("ArnNotLike", Comparison::Arn, Sense::Others),
    ("Bool", Comparison::Bool, Sense::Listed),
    ("Null", Comparison::Null, Sense::Listed),
    ("NumericEquals", Comparison::Number(Order::Equal), Sense::Listed),
    ("NumericNotEquals", Comparison::Number(Order::Equal), Sense::Others),
    ("NumericLessThan", Comparison::Number(Order::Less), Sense::Listed),
    ("NumericLessThanEquals", Comparison::Number(Order::LessOrEqual), Sense::Listed),
    ("NumericGreaterThan", Comparison::Number(Order::Greater), Sense::Listed),
    ("NumericGreaterThanEquals", Comparison::Number(Order::GreaterOrEqual), Sense::Listed),
    ("DateEquals", Comparison::Date(Order::Equal), Sense::Listed),
    ("DateNotEquals", Comparison::Date(Order::Equal), Sense::Others),
    ("DateLessThan", Comparison::Date(Order::Less), Sense::Listed),
    ("DateLessThanEquals", Comparison::Date(Order::LessOrEqual), Sense::Listed),
    ("DateGreaterThan", Comparison::Date(Order::Greater), Sense::Listed),
    ("DateGreaterThanEquals", Comparison::Date(Order::GreaterOrEqual), Sense::Listed),
    ("IpAddress", Comparison::Address, Sense::Listed),
    ("NotIpAddress", Comparison::Address, Sense::Others),
    ("BinaryEquals", Comparison::Binary, Sense::Listed),
    ("BinaryNotEquals", Comparison::Binary, Sense::Others),
];

impl Operator {
    /// Reads a name; its case does not matter.
    pub(super) fn parse(name: &str) -> Result<Self, Malformed> {
        let lower = name.to_ascii_lowercase();
        let (quantifier, rest) = if let Some(rest) = lower.strip_prefix("forallvalues:") {
            (Some(Quantifier::All), rest)
        } else if let Some(rest) = lower.strip_prefix("foranyvalue:") {
            (Some(Quantifier::Any), rest)
        } else {
            (None, lower.as_str())
        };
        let (base, if_exists) = rest.strip_suffix("ifexists").map_or((rest, false), |base| (base, true));
        let known = OPERATORS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(base));
        let Some(&(_, comparison, sense)) = known else {
            return Err(Malformed::new("is not a condition operator"));
        };
        if comparison == Comparison::Null && (if_exists || quantifier.is_some()) {
            return Err(Malformed::new("is not a condition operator: Null stands alone"));
        }
        Ok(Self { quantifier, comparison, sense, if_exists })
    }
}
