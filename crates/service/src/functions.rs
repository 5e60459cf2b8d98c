//! Which functions flows may call.

/// The functions that flows may call. They are called with the credentials of this server, so whose they may be is not
/// for who makes a flow to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Functions(Vec<String>);

impl Functions {
    /// Those with these ARNs; a `*` at the end stands for any end.
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Whether this one is among them.
    pub fn admit(&self, arn: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => arn.starts_with(start),
            None => arn == pattern,
        })
    }
}
