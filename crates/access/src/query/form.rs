//! The form that a request of the Query protocol is: names with dots and numbers, as `Tags.member.1.Key`.

use carillon_auth::parse_query;

use super::fault::{Fault, Result};

/// The most parameters of a form: fifty tags have a hundred, and nothing has more lists than two.
const PARAMETERS_MAX: usize = 512;
/// What a page has when the request does not say.
const ITEMS_DEFAULT: i64 = 100;
/// The most that a page has.
const ITEMS_MAX: i64 = 1_000;

/// Parameters that say what an action is asked of.
const RESOURCES: [&str; 14] = [
    "UserName",
    "RoleName",
    "PolicyName",
    "PolicyArn",
    "RoleArn",
    "AccessKeyId",
    "OpenIDConnectProviderArn",
    "ResourceArn",
    "NewUserName",
    "RoleSessionName",
    "VersionId",
    "ClientID",
    "Url",
    "Status",
];

/// The parameters of a request.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Of these parameters.
    pub fn of(parameters: Vec<(String, String)>) -> Self {
        Self(parameters)
    }

    /// Reads a body. One of too many parameters is not taken apart.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let is_too_long = body.iter().filter(|byte| **byte == b'&').nth(PARAMETERS_MAX).is_some();
        if is_too_long { None } else { parse_query(str::from_utf8(body).ok()?).map(Self) }
    }

    /// What an action is asked of, for the audit log: names and ARNs, never documents, tags or tokens.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &str)> {
        RESOURCES.iter().filter_map(|name| Some((*name, self.find(name)?)))
    }

    /// A parameter, where it is given and not empty.
    pub fn find(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// A parameter, or an error that names it.
    pub(crate) fn get(&self, name: &str) -> Result<&str> {
        self.find(name).ok_or_else(|| Fault::invalid(format!("{name}: is required")))
    }

    /// A parameter of these many characters, each of which is legal.
    pub(crate) fn text(&self, name: &str, rule: TextRule) -> Result<&str> {
        let value = self.get(name)?;
        rule.check(name, value)?;
        Ok(value)
    }

    /// A parameter that may be left out, under a rule.
    pub(crate) fn find_text(&self, name: &str, rule: TextRule) -> Result<Option<&str>> {
        let value = self.find(name);
        value.map_or(Ok(()), |value| rule.check(name, value))?;
        Ok(value)
    }

    /// A whole number within bounds.
    pub(crate) fn find_number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>> {
        let Some(value) = self.find(name) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| {
            Fault::invalid(format!("{name}: must be a whole number from {least} to {most}, not {value}"))
        })
    }

    /// The texts of a list, in its order.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|number| self.find(&format!("{name}.member.{number}"))).collect()
    }

    /// The pairs of a list, in its order; the second may be left out or empty.
    pub(crate) fn pairs(&self, name: &str, [first, second]: [&str; 2]) -> Vec<(&str, &str)> {
        let part = |number: usize, part: &str| self.find(&format!("{name}.member.{number}.{part}"));
        (1..)
            .map_while(|number| Some((part(number, first)?, part(number, second).unwrap_or_default())))
            .collect()
    }

    /// How many items a page has.
    pub(crate) fn items_max(&self) -> Result<i64> {
        Ok(self.find_number("MaxItems", 1, ITEMS_MAX)?.unwrap_or(ITEMS_DEFAULT))
    }
}

/// What a text may be.
#[derive(Clone, Copy)]
pub(crate) struct TextRule {
    /// The least and the most characters.
    pub(crate) length: (usize, usize),
    /// Which characters, and how to say so.
    pub(crate) legal: (fn(char) -> bool, &'static str),
}

impl TextRule {
    /// Names of users, roles, policies and sessions.
    pub(crate) const fn name(length_max: usize) -> Self {
        Self { length: (1, length_max), legal: (in_name, "letters, digits and _+=,.@-") }
    }

    /// Any text without control characters but tab and line ends.
    pub(crate) const fn free(length_max: usize) -> Self {
        Self { length: (1, length_max), legal: (in_text, "printable characters") }
    }

    /// Paths of principals and policies, which also begin and end with `/`.
    pub(crate) const PATH: Self =
        Self { length: (1, 512), legal: (|letter| letter.is_ascii_graphic(), "visible ASCII characters") };

    pub(super) fn check(self, name: &str, value: &str) -> Result<()> {
        let ((least, most), (legal, which)) = (self.length, self.legal);
        if !(least..=most).contains(&value.chars().count()) {
            return Err(Fault::invalid(format!("{name}: must have {least} to {most} characters")));
        }
        if value.chars().all(legal) {
            Ok(())
        } else {
            Err(Fault::invalid(format!("{name}: may have only {which}")))
        }
    }
}

fn in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter)
}

fn in_text(letter: char) -> bool {
    !letter.is_control() || matches!(letter, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_where_a_number_is_missing() {
        let form = Form::parse(
            b"Action=A&T.member.1.Key=a&T.member.1.Value=x+y&T.member.2.Key=b&T.member.4.Key=d&L.member.1=%2Fp",
        );
        let form = form.unwrap();
        assert_eq!(form.pairs("T", ["Key", "Value"]), [("a", "x y"), ("b", "")]);
        assert_eq!(form.list("L"), ["/p"]);
        assert_eq!(form.list("M"), Vec::<&str>::new());
    }

    #[test]
    fn a_form_has_no_more_parameters_than_a_request_may_have() {
        let form = |count| Form::parse("a=b&".repeat(count).as_bytes());
        assert_eq!(form(PARAMETERS_MAX).unwrap().0.len(), PARAMETERS_MAX);
        assert!(form(PARAMETERS_MAX + 1).is_none());
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let form = Form::parse(b"UserName=a%2Fb&MaxItems=1001&Empty=").unwrap();
        for (refused, words) in [
            (form.text("UserName", TextRule::name(64)).err(), "UserName: may have only"),
            (form.text("RoleName", TextRule::name(64)).err(), "RoleName: is required"),
            (form.items_max().err(), "MaxItems: must be"),
            (form.get("Empty").err(), "Empty: is required"),
        ] {
            assert!(refused.unwrap().message.starts_with(words), "{words}");
        }
    }
}
