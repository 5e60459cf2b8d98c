//! XML as the answers of the Query protocol need it: elements with text or elements below.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;

/// An element.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    name: Cow<'static, str>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    Text(String),
    Elements(Vec<Element>),
}

impl Element {
    /// An element with text.
    #[expect(clippy::needless_pass_by_value, reason = "a text that was just made is given as it is")]
    pub(crate) fn text(name: impl Into<Cow<'static, str>>, text: impl ToString) -> Self {
        Self { name: name.into(), content: Content::Text(text.to_string()) }
    }

    /// An element with elements.
    pub fn of(name: impl Into<Cow<'static, str>>, elements: impl IntoIterator<Item = Self>) -> Self {
        Self { name: name.into(), content: Content::Elements(elements.into_iter().collect()) }
    }

    /// Calls with the name and the text of each element that has one.
    pub fn each_text(&self, call: &mut dyn FnMut(&str, &str)) {
        match &self.content {
            Content::Text(text) => call(&self.name, text),
            Content::Elements(elements) => elements.iter().for_each(|element| element.each_text(call)),
        }
    }

    /// The same as JSON: what has only `member`s is a list. Documents are decoded, which XML carries as in a query.
    pub fn into_json(self) -> Value {
        match self.content {
            Content::Text(text) if self.name.ends_with("Document") => Value::String(
                percent_decode_str(&text).decode_utf8().map_or_else(|_| text.clone(), Cow::into_owned),
            ),
            Content::Text(text) => Value::String(text),
            Content::Elements(elements) if elements.iter().all(|element| element.name == "member") => {
                Value::Array(elements.into_iter().map(Self::into_json).collect())
            }
            Content::Elements(elements) => {
                let members =
                    elements.into_iter().map(|element| (element.name.to_string(), element.into_json()));
                Value::Object(members.collect())
            }
        }
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>, namespace: Option<&str>) -> std::io::Result<()> {
        let mut start = BytesStart::new(&*self.name);
        if let Some(namespace) = namespace {
            start.push_attribute(("xmlns", namespace));
        }
        writer.write_event(Event::Start(start))?;
        match &self.content {
            Content::Text(text) => writer.write_event(Event::Text(BytesText::new(&legal(text))))?,
            Content::Elements(elements) => {
                for element in elements {
                    element.write(writer, None)?;
                }
            }
        }
        writer.write_event(Event::End(BytesEnd::new(&*self.name)))
    }

    /// The document that this is the root of.
    pub(crate) fn document(&self, namespace: &str) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        let written = writer
            .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
            .and_then(|()| self.write(&mut writer, Some(namespace)));
        written.expect("memory can always be written");
        writer.into_inner()
    }
}

/// What XML cannot hold, even escaped, is shown as the replacement character.
fn legal(text: &str) -> String {
    let legal = |letter: char| {
        matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..) && letter != '\u{7F}'
    };
    text.chars().map(|letter| if legal(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_escaped_and_has_its_namespace() {
        let user = [Element::text("UserName", "a<&>\"'\u{1}"), Element::text("Path", "/")];
        let root = Element::of("R", [Element::of("Users", [Element::of("member", user)])]);
        assert_eq!(
            String::from_utf8(root.document("urn:x")).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><R xmlns=\"urn:x\"><Users><member>\
             <UserName>a&lt;&amp;&gt;&quot;&apos;\u{FFFD}</UserName><Path>/</Path></member></Users></R>"
        );
    }

    #[test]
    fn elements_become_lists_objects_and_texts() {
        let user = |name| Element::of("member", [Element::text("UserName", name)]);
        let root = Element::of(
            "",
            [
                Element::text("IsTruncated", false),
                Element::of("Users", [user("ana"), user("bob")]),
                Element::of("Tags", []),
                Element::text("PolicyDocument", "%7B%22a%22%3A%201%7D"),
            ],
        );
        let expected = json!({
            "IsTruncated": "false",
            "Users": [{ "UserName": "ana" }, { "UserName": "bob" }],
            "Tags": [],
            "PolicyDocument": "{\"a\": 1}",
        });
        assert_eq!(root.into_json(), expected);
    }
}
