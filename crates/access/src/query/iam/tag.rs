//! What a tag may be, and how answers write it.

use carillon_store::iam::Tag;

use crate::query::fault::{Fault, Result};
use crate::query::form::{Form, TextRule};
use crate::query::xml::Element;

/// Tags of one thing, and of a session, as AWS has it.
pub(in crate::query) const TAGS_MAX: usize = 50;
const KEY: TextRule = TextRule::free(128);
const VALUE: TextRule = TextRule::free(256);

/// The tags that a request gives, each key once.
pub(in crate::query) fn given(form: &Form) -> Result<Vec<Tag>> {
    let mut tags: Vec<Tag> = Vec::new();
    for (key, value) in form.pairs("Tags", ["Key", "Value"]) {
        KEY.check("Tags", key)?;
        if !value.is_empty() {
            VALUE.check("Tags", value)?;
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Fault::invalid("Tags: keys that begin with aws: are reserved"));
        }
        if tags.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
            return Err(Fault::input("Tags: a key may be given only once, whatever its case"));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    if TAGS_MAX < tags.len() {
        return Err(Fault::limit("tags", 50));
    }
    Ok(tags)
}

/// A list of tags.
pub(super) fn shape(tags: &[Tag]) -> Element {
    Element::of("Tags", tags.iter().map(member))
}

/// A tag in a list.
pub(super) fn member((key, value): &Tag) -> Element {
    Element::of("member", [Element::text("Key", key), Element::text("Value", value)])
}
