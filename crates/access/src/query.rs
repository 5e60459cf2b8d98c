//! The Query protocol, which STS and IAM speak: a form on `POST /`, an XML document back.
//!
//! The credential's scope says which of the two is meant. An action is a line in a table (`iam`, `sts`): its name, the
//! ARN that policies are asked about, and a function from a transaction, a call and a form to elements. To add one:
//! the function, with its test, and the line.

mod call;
mod fault;
mod form;
mod iam;
mod page;
mod sts;
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use carillon_auth::Refusal;
use http::header;
use http::request::Parts;

use crate::{Access, Caller, When};
use call::QueryCall;
pub use call::{Counted, Overseer, Request};
pub use fault::{Fault, Result};
pub use form::Form;
#[doc(hidden)]
pub use iam::actions as iam_actions;
pub use sts::WEB_IDENTITY_ACTION;
pub use xml::Element;

/// The region that clients sign for when they take the two services for global ones, besides our own.
const GLOBAL_REGION: &str = "us-east-1";
/// The most bytes of a form that nobody signed: a token of an identity provider has 20,000 characters, and a session
/// policy 2,048, each of which may take three bytes in a form.
const UNSIGNED_BODY_BYTES_MAX: usize = 96 * 1024;

/// The two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Who there is, and what they may do.
    Iam,
    /// Credentials for a while.
    Sts,
}

impl Protocol {
    /// The one that a request means; who has no credentials yet asks STS for some.
    pub fn of(parts: &Parts) -> Self {
        if scope(parts).is_some_and(|(_, service)| service == "iam") { Self::Iam } else { Self::Sts }
    }

    /// What its credentials are scoped to, and its actions begin with.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// The name of an action, if there is one that is called so.
    pub fn action(self, name: &str) -> Option<&'static str> {
        match self {
            Self::Iam => iam::actions().map(|(known, _)| known).find(|known| *known == name),
            Self::Sts => sts::ACTIONS.into_iter().find(|known| *known == name),
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// A request whose signature is believed, or that needs none.
pub struct Accepted {
    /// The service that it is for.
    pub protocol: Protocol,
    /// Who signed it; nobody has signed the one action that takes no signature.
    pub caller: Option<Caller>,
    /// Its form, where its body is one.
    pub form: Option<Form>,
}

/// Why a request is not accepted.
pub enum NotAccepted<E> {
    /// There is no body.
    Body(E),
    /// It is not signed as it must be.
    Refused(Refusal),
}

impl Access {
    /// Finds out who signed a request on `POST /`, and what it asks. Its body is `read` once its head is believed, up
    /// to `signed_bytes_max` where it is signed.
    pub async fn accept_query<B, E>(
        &self,
        parts: &Parts,
        read: impl FnOnce(usize) -> B,
        signed_bytes_max: usize,
        when: When,
    ) -> std::result::Result<Accepted, NotAccepted<E>>
    where
        B: Future<Output = std::result::Result<Bytes, E>>,
    {
        let protocol = Protocol::of(parts);
        let region = match scope(parts) {
            Some((GLOBAL_REGION, _)) => GLOBAL_REGION,
            _ => self.home.region(),
        };
        let is_unsigned = |form: &Form| form.find("Action") == Some(sts::WEB_IDENTITY);
        match self.check_head(parts, (region, &[protocol.signing_name()]), 0, when) {
            Ok(claimed) => {
                let body = read(signed_bytes_max).await.map_err(NotAccepted::Body)?;
                let caller = claimed.verify(parts, &body).map_err(NotAccepted::Refused)?;
                let form = Form::parse(&body);
                let caller = (!form.as_ref().is_some_and(is_unsigned)).then_some(caller);
                Ok(Accepted { protocol, caller, form })
            }
            Err(Refusal::MissingAuthenticationToken) => {
                let body = read(UNSIGNED_BODY_BYTES_MAX).await.map_err(NotAccepted::Body)?;
                let form = Form::parse(&body).filter(is_unsigned);
                let form = form.ok_or(NotAccepted::Refused(Refusal::MissingAuthenticationToken))?;
                Ok(Accepted { protocol, caller: None, form: Some(form) })
            }
            Err(refusal) => Err(NotAccepted::Refused(refusal)),
        }
    }

    /// Does an action.
    pub async fn act(
        self: &Arc<Self>,
        protocol: Protocol,
        request: Request,
        form: Form,
    ) -> Result<Vec<Element>> {
        let call = QueryCall::new(self.clone(), request);
        if protocol == Protocol::Iam && call.caller.as_ref().is_some_and(Caller::is_own_session) {
            // As AWS has it, where no second factor was given; here there is none.
            return Err(Fault::new(
                403,
                "InvalidClientTokenId",
                "A session token of one's own is not for IAM",
            ));
        }
        match protocol {
            Protocol::Iam => iam::act(call, form).await,
            Protocol::Sts => sts::act(call, &form).await,
        }
    }
}

/// Region and service of a credential, before anything of it is believed.
fn scope(parts: &Parts) -> Option<(&str, &str)> {
    let authorization = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let credential = authorization.split_once("Credential=")?.1.split([',', ' ']).next()?;
    let mut scope = credential.split('/').skip(2);
    Some((scope.next()?, scope.next()?))
}

/// Whether an action, by its name, changes nothing. What gives out credentials changes something, whatever it is
/// called.
pub fn is_reading(action: &str) -> bool {
    (action.starts_with("Get") && action != "GetSessionToken") || action.starts_with("List")
}

/// An answer as it is written: its status and its document.
pub fn document(
    protocol: Protocol,
    action: &str,
    answer: Result<Vec<Element>>,
    request_id: &str,
) -> (u16, Vec<u8>) {
    let id = || Element::text("RequestId", request_id);
    let (status, root) = match answer {
        Ok(elements) => {
            let metadata = Element::of("ResponseMetadata", [id()]);
            let result = (!elements.is_empty()).then(|| Element::of(format!("{action}Result"), elements));
            (200, Element::of(format!("{action}Response"), result.into_iter().chain([metadata])))
        }
        Err(fault) => {
            let error = [
                Element::text("Type", fault.kind()),
                Element::text("Code", fault.code),
                Element::text("Message", &fault.message),
            ];
            (fault.status, Element::of("ErrorResponse", [Element::of("Error", error), id()]))
        }
    };
    (status, root.document(protocol.namespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_a_name_where_it_is_one() {
        for (name, _) in iam::actions() {
            assert_eq!(Protocol::Iam.action(name), Some(name));
        }
        assert_eq!(Protocol::Sts.action("AssumeRole"), Some("AssumeRole"));
        assert_eq!((Protocol::Sts.action("CreateUser"), Protocol::Iam.action("")), (None, None));
    }

    #[test]
    fn what_changes_something_is_known_by_its_name() {
        let sts = sts::ACTIONS.into_iter().filter(|name| *name != "GetCallerIdentity");
        for (action, writes) in iam::actions().chain(sts.map(|name| (name, true))) {
            assert_eq!(is_reading(action), !writes, "{action}");
        }
    }
}
