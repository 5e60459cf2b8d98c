//! The Query protocol, which STS and IAM speak: a form on `POST /`, an XML document back.
//!
//! The credential's scope says which of the two is meant. An action is a line in a table (`iam`, `sts`): its name, the
//! ARN that policies are asked about, and a function from a transaction, a call and a form to elements. To add one:
//! the function, with its test, and the line.

mod call;
mod direct;
mod fault;
mod form;
mod iam;
mod page;
mod sts;
#[cfg(test)]
pub(crate) mod tests;
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use carillon_auth::Refusal;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};

use crate::access::Caller;
use crate::front::audit::{self, Draft};
use crate::front::cors;
use crate::front::dispatch::{BODY_BYTES_MAX, NoBody, Signed, surrounding};
use crate::front::retry;
use crate::front::service::Service;
use crate::operation::Effect;
use call::QueryCall;
pub use direct::Declined;
use fault::{Fault, Result};
use form::Form;
pub(crate) use sts::give_to_user;
use xml::Element;

/// The region that clients sign for when they take the two services for global ones, besides our own.
const GLOBAL_REGION: &str = "us-east-1";
/// The most bytes of a form that nobody signed: a token of an identity provider has 20,000 characters, and a session
/// policy 2,048, each of which may take three bytes in a form.
const UNSIGNED_BODY_BYTES_MAX: usize = 96 * 1024;

/// What the action that needs no signature is called in the audit log.
const WEB_IDENTITY_ACTION: &str = "sts:AssumeRoleWithWebIdentity";

/// The two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Iam,
    Sts,
}

impl Protocol {
    fn signing_name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

impl Service {
    /// Finds out who signed a request on `POST /`, and what it asks. Its body is `read` once its head is believed.
    pub(crate) async fn accept_query<B>(
        &self,
        parts: &Parts,
        read: impl FnOnce(usize) -> B,
        request_id: &str,
    ) -> std::result::Result<Accepted, Response<Bytes>>
    where
        B: Future<Output = std::result::Result<Bytes, NoBody>>,
    {
        // Who has no credentials yet asks STS for some.
        let protocol = if scope(parts).is_some_and(|(_, service)| service == "iam") {
            Protocol::Iam
        } else {
            Protocol::Sts
        };
        match self.admit_query(protocol, parts, read).await {
            Ok((caller, form)) => Ok(Accepted { protocol, caller, form }),
            Err(NotAccepted::Body(why)) => Err(respond(protocol, "", Err(why.into()), request_id)),
            Err(NotAccepted::Refused(refusal)) => {
                let fault = Fault::from(refusal);
                self.turned_away(parts, request_id, (fault.code, fault.status), None);
                log(&fault, "", request_id);
                Err(respond(protocol, "", Err(fault), request_id))
            }
        }
    }

    /// Answers a request on `POST /` that was accepted.
    pub(crate) async fn query(
        self: &Arc<Self>,
        parts: &Parts,
        asked: Accepted,
        request_id: &str,
    ) -> Response<Bytes> {
        let Accepted { protocol, caller, form } = asked;
        let (is_signed, principal) = (caller.is_some(), caller.as_ref());
        let draft = self.draft(parts, request_id, || Some(principal?.arn(self.home().account())));
        let (mut action, mut role) = (String::new(), None);
        let answer = match form {
            None => Err(Fault::new(400, "MalformedInput", "The body is not a form")),
            Some(form) => {
                form.find("Action").unwrap_or_default().clone_into(&mut action);
                role = form.find("RoleArn").map(str::to_owned);
                let call = QueryCall::new(self, caller, surrounding(parts), request_id).noting(draft.notes());
                self.act(protocol, call, form, draft).await
            }
        };
        if let Err(fault) = &answer {
            if !is_signed {
                let asked = (WEB_IDENTITY_ACTION, role.as_deref());
                self.turned_away(parts, request_id, (fault.code, fault.status), Some(asked));
            }
            log(fault, &action, request_id);
        }
        let mut response = respond(protocol, &action, answer, request_id);
        if is_signed {
            response.extensions_mut().insert(Signed);
        }
        response
    }

    /// Does an action, and says so in the audit log, where what nobody signed stands once it was believed.
    async fn act(
        self: &Arc<Self>,
        protocol: Protocol,
        call: QueryCall,
        form: Form,
        mut draft: Draft,
    ) -> Result<Vec<Element>> {
        let (notes, is_signed) = (draft.notes(), call.caller.is_some());
        let action = form.find("Action").unwrap_or_default();
        let effect = audit::effect_of(action);
        draft.asks(protocol.signing_name(), action, effect);
        notes.resources(form.resources());
        let line = self.line_for(if is_signed { effect } else { Effect::Read }).await?;
        let answer = self.try_to_act(protocol, call, form).await;
        if let Ok(elements) = &answer {
            for element in elements {
                element.each_text(&mut |name, text| notes.made(name, text));
            }
        }
        if is_signed || answer.is_ok() {
            let (code, status) =
                answer.as_ref().map_or_else(|fault| (fault.code, fault.status), |_| ("OK", 200));
            self.record(line, draft, code, status).await?;
        }
        answer
    }

    /// Does an action. A refusal by policy counts for who is refused.
    async fn try_to_act(
        self: &Arc<Self>,
        protocol: Protocol,
        call: QueryCall,
        form: Form,
    ) -> Result<Vec<Element>> {
        let caller = call.caller.clone();
        if let Some(caller) = &caller {
            self.may_be_refused(caller)?;
        }
        if protocol == Protocol::Iam && caller.as_ref().is_some_and(Caller::is_own_session) {
            // As AWS has it, where no second factor was given; here there is none.
            return Err(Fault::new(
                403,
                "InvalidClientTokenId",
                "A session token of one's own is not for IAM",
            ));
        }
        let answer = match protocol {
            Protocol::Iam => iam::act(self, call, form).await,
            Protocol::Sts => sts::act(self, call, &form).await,
        };
        if let (Err(fault), Some(caller)) = (&answer, &caller)
            && fault.is_denial()
        {
            self.count_refusal(caller)?;
        }
        answer
    }

    /// Who signed a request, and its form, where it is one; nobody has signed the one action that takes no signature.
    async fn admit_query<B>(
        &self,
        protocol: Protocol,
        parts: &Parts,
        read: impl FnOnce(usize) -> B,
    ) -> std::result::Result<(Option<Caller>, Option<Form>), NotAccepted>
    where
        B: Future<Output = std::result::Result<Bytes, NoBody>>,
    {
        let region = match scope(parts) {
            Some((GLOBAL_REGION, _)) => GLOBAL_REGION,
            _ => self.home().region(),
        };
        match self.check_head(parts, (region, &[protocol.signing_name()]), 0) {
            Ok(claimed) => {
                let body = read(BODY_BYTES_MAX).await.map_err(NotAccepted::Body)?;
                let caller = claimed.verify(parts, &body).map_err(NotAccepted::Refused)?;
                let form = Form::parse(&body);
                let is_unsigned =
                    form.as_ref().is_some_and(|form| form.find("Action") == Some(sts::WEB_IDENTITY));
                Ok(((!is_unsigned).then_some(caller), form))
            }
            Err(Refusal::MissingAuthenticationToken) => {
                let body = read(UNSIGNED_BODY_BYTES_MAX).await.map_err(NotAccepted::Body)?;
                let form = Form::parse(&body).filter(|form| form.find("Action") == Some(sts::WEB_IDENTITY));
                let form = form.ok_or(NotAccepted::Refused(Refusal::MissingAuthenticationToken))?;
                Ok((None, Some(form)))
            }
            Err(refusal) => Err(NotAccepted::Refused(refusal)),
        }
    }
}

/// A request whose signature is believed, or that needs none: who signed it, and its form, where its body is one.
pub(crate) struct Accepted {
    protocol: Protocol,
    caller: Option<Caller>,
    form: Option<Form>,
}

/// Why a request is not.
enum NotAccepted {
    Body(NoBody),
    Refused(Refusal),
}

/// Region and service of a credential, before anything of it is believed.
fn scope(parts: &Parts) -> Option<(&str, &str)> {
    let authorization = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let credential = authorization.split_once("Credential=")?.1.split([',', ' ']).next()?;
    let mut scope = credential.split('/').skip(2);
    Some((scope.next()?, scope.next()?))
}

fn respond(
    protocol: Protocol,
    action: &str,
    answer: Result<Vec<Element>>,
    request_id: &str,
) -> Response<Bytes> {
    let id = || Element::text("RequestId", request_id);
    let known_ms = answer.as_ref().err().and_then(|fault| fault.retry_after_ms);
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
    let mut response = Response::new(Bytes::from(root.document(protocol.namespace())));
    *response.status_mut() = StatusCode::from_u16(status).expect("the protocol's statuses are statuses");
    let wait_ms = known_ms.or_else(|| retry::wait_ms(response.status(), request_id));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(request_id).expect("an id is plain text"));
    if let Some(wait_ms) = wait_ms {
        retry::say(headers, wait_ms);
    }
    cors::allow(headers);
    response
}

/// Logs a fault once, with the cause that the client is not told.
fn log(fault: &Fault, action: &str, request_id: &str) {
    let (code, message) = (fault.code, &*fault.message);
    if let Some(source) = &fault.source {
        tracing::error!(request_id, action, code, %source, "{message}");
    } else {
        tracing::debug!(request_id, action, code, "{message}");
    }
}
