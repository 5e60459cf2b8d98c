//! JSON in which an element that stands twice is an error.
//!
//! `serde_json::Value` keeps the last of two equal names in silence, so `{"Effect": "Deny", "Effect": "Allow"}`
//! would mean to us what its author did not read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Malformed;

/// A value, with numbers and truth values as the text that policies compare.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|error| Malformed::new(format!("is not JSON: {error}")))
    }

    /// The elements of an object.
    pub(super) fn into_object(self) -> Result<Vec<(String, Node)>, Malformed> {
        match self {
            Self::Object(elements) => Ok(elements),
            _ => Err(Malformed::new("must be an object")),
        }
    }

    /// A single text, number or truth value.
    pub(super) fn into_text(self) -> Result<String, Malformed> {
        match self {
            Self::Scalar(text) => Ok(text),
            _ => Err(Malformed::new("must be a single text")),
        }
    }

    /// One text or a list of at least one.
    pub(super) fn into_texts(self) -> Result<Vec<String>, Malformed> {
        match self {
            Self::Scalar(text) => Ok(vec![text]),
            Self::List(nodes) if !nodes.is_empty() => nodes.into_iter().map(Self::into_text).collect(),
            _ => Err(Malformed::new("must be a text or a list of at least one")),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut elements: Vec<(String, Node)> = Vec::new();
        while let Some((name, node)) = object.next_entry::<String, Node>()? {
            elements.push((name, node));
        }
        let mut names: Vec<&str> = elements.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut pairs = names.iter().zip(names.iter().skip(1));
        if let Some((name, _)) = pairs.find(|(name, next)| name == next) {
            return Err(A::Error::custom(format!("{name:?} stands twice")));
        }
        Ok(Node::Object(elements))
    }
}
