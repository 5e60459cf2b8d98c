//! What a type looks like on the wire, as data: the conformance test compares it with `spec/api.json`.
//!
//! Every type that travels implements [`Described`]; the macros implement it for structures.

use std::collections::BTreeMap;

/// The wire form of a type, with the constraints that the interface publishes.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Text, with its least and greatest length and its pattern.
    Text {
        /// Least length, where one is published.
        min: Option<u64>,
        /// Greatest length, where one is published.
        max: Option<u64>,
        /// Pattern of the whole value, where one is published.
        pattern: Option<&'static str>,
    },
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A whole number within bounds.
    Integer {
        /// Least value, where one is published.
        min: Option<i64>,
        /// Greatest value, where one is published.
        max: Option<i64>,
    },
    /// `true` or `false`.
    Boolean,
    /// An instant: epoch seconds in a body, ISO 8601 in a query.
    Timestamp,
    /// A list.
    List {
        /// What it holds.
        of: Box<Shape>,
        /// Least length, where one is published.
        min: Option<u64>,
        /// Greatest length, where one is published.
        max: Option<u64>,
    },
    /// A map from text.
    Map(Box<Shape>, Box<Shape>),
    /// An object.
    Structure(Vec<Member>),
}

/// One member of a structure.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name, as the wire spells it.
    pub name: &'static str,
    /// Where it travels.
    pub location: Location,
    /// Whether a request without it is refused.
    pub required: bool,
    /// Its type.
    pub shape: Shape,
}

/// Where a member of a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the JSON body, under its own name.
    Body,
    /// In the path, at this label.
    Label(&'static str),
    /// In the query, under this name.
    Query(&'static str),
    /// In this header.
    Header(&'static str),
}

/// A type with a wire form.
pub trait Described {
    /// False for what may be left out.
    const REQUIRED: bool = true;
    /// The wire form.
    fn shape() -> Shape;
}

impl<T: Described> Described for Option<T> {
    const REQUIRED: bool = false;
    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: Described> Described for Vec<T> {
    fn shape() -> Shape {
        Shape::List { of: Box::new(T::shape()), min: None, max: None }
    }
}

impl<K: Described, V: Described> Described for BTreeMap<K, V> {
    fn shape() -> Shape {
        Shape::Map(Box::new(K::shape()), Box::new(V::shape()))
    }
}

impl Described for bool {
    fn shape() -> Shape {
        Shape::Boolean
    }
}

impl Described for i64 {
    fn shape() -> Shape {
        Shape::Integer { min: None, max: None }
    }
}
