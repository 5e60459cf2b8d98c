//! Pages: a marker is the name of the last item, in a form that nobody is tempted to make up.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_store::iam::Rows;

use super::fault::{Fault, Result};
use super::form::{Form, TextRule};
use super::xml::Element;

/// One page of a list.
pub(super) struct Page {
    path: String,
    after: String,
    limit: usize,
}

impl Page {
    /// The page that a request asks for.
    pub(super) fn of(form: &Form) -> Result<Self> {
        let path = form.find_text("PathPrefix", TextRule::PATH)?.unwrap_or("/").to_owned();
        let limit = usize::try_from(form.items_max()?).unwrap_or_default();
        let after = form.find("Marker").map_or(Some(String::new()), |marker| {
            String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()
        });
        let after = after.ok_or_else(|| Fault::invalid("Marker: is not one of ours"))?;
        Ok(Self { path, after, limit })
    }

    /// Which rows to read: one more than the page holds, to learn whether another follows.
    pub(super) fn rows(&self) -> Rows<'_> {
        let limit = i64::try_from(self.limit).unwrap_or_default() + 1;
        Rows { path: &self.path, after: &self.after, limit }
    }

    /// Cuts the rows to the page, under `name`, and says whether more follow.
    pub(super) fn cut<T>(
        &self,
        name: &'static str,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> String,
        member: impl Fn(&T) -> Element,
    ) -> Vec<Element> {
        let more = self.limit < rows.len();
        rows.truncate(self.limit);
        let mut elements =
            vec![Element::text("IsTruncated", more), Element::of(name, rows.iter().map(member))];
        if let Some(last) = rows.last().filter(|_| more) {
            elements.push(Element::text("Marker", URL_SAFE_NO_PAD.encode(key(last))));
        }
        elements
    }
}
