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

use crate::access::{Caller, Surrounding};
use crate::audit::Draft;
use crate::cors;
use crate::dispatch::{BODY_BYTES_MAX, NoBody, Signed, surrounding};
use crate::retry;
use crate::service::Service;
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
    /// Answers a request on `POST /`, whose body is `read` once its head is believed.
    pub(crate) async fn query<B>(
        self: &Arc<Self>,
        parts: &Parts,
        read: impl FnOnce(usize) -> B,
        request_id: &str,
        mut draft: Draft,
    ) -> Response<Bytes>
    where
        B: Future<Output = std::result::Result<Bytes, NoBody>>,
    {
        // Who has no credentials yet asks STS for some.
        let protocol = if scope(parts).is_some_and(|(_, service)| service == "iam") {
            Protocol::Iam
        } else {
            Protocol::Sts
        };
        let (mut action, mut is_signed) = (String::new(), false);
        let answer = match self.admit_query(protocol, parts, read).await {
            Ok((caller, form)) => {
                form.find("Action").unwrap_or_default().clone_into(&mut action);
                draft.asks_for(protocol.signing_name(), &action, form.resources());
                if let Some(caller) = &caller {
                    is_signed = true;
                    draft.signed_by(|| caller.arn(self.home().account()));
                }
                self.act(protocol, (caller, surrounding(parts)), form, request_id).await
            }
            Err(fault) => Err(fault),
        };
        let (code, status) = answer.as_ref().map_or_else(|fault| (fault.code, fault.status), |_| ("OK", 200));
        if let Some(record) = draft.close(code, status, b"") {
            self.audit(record).await;
        }
        if let Err(fault) = &answer {
            log(fault, &action, request_id);
        }
        let mut response = respond(protocol, &action, answer, request_id);
        if is_signed {
            response.extensions_mut().insert(Signed);
        }
        response
    }

    /// Does what a caller asks. A refusal by policy counts for who is refused.
    async fn act(
        self: &Arc<Self>,
        protocol: Protocol,
        (caller, surrounding): (Option<Caller>, Surrounding),
        form: Form,
        request_id: &str,
    ) -> Result<Vec<Element>> {
        if let Some(caller) = &caller {
            self.may_be_refused(caller)?;
        }
        let call = QueryCall::new(self, caller.clone(), surrounding, request_id);
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

    /// Finds out who signed a request, and what it asks; nobody has signed the one action that takes no signature.
    async fn admit_query<B>(
        &self,
        protocol: Protocol,
        parts: &Parts,
        read: impl FnOnce(usize) -> B,
    ) -> Result<(Option<Caller>, Form)>
    where
        B: Future<Output = std::result::Result<Bytes, NoBody>>,
    {
        let region = match scope(parts) {
            Some((GLOBAL_REGION, _)) => GLOBAL_REGION,
            _ => self.home().region(),
        };
        let not_a_form = || Fault::new(400, "MalformedInput", "The body is not a form");
        match self.check_head(parts, (region, &[protocol.signing_name()]), 0) {
            Ok(claimed) => {
                let body = read(BODY_BYTES_MAX).await?;
                let caller = claimed.verify(parts, &body)?;
                let form = Form::parse(&body).ok_or_else(not_a_form)?;
                let is_unsigned = form.find("Action") == Some(sts::WEB_IDENTITY);
                Ok(((!is_unsigned).then_some(caller), form))
            }
            Err(Refusal::MissingAuthenticationToken) => {
                let body = read(UNSIGNED_BODY_BYTES_MAX).await?;
                let form = Form::parse(&body).filter(|form| form.find("Action") == Some(sts::WEB_IDENTITY));
                Ok((None, form.ok_or(Refusal::MissingAuthenticationToken)?))
            }
            Err(refusal) => Err(refusal.into()),
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
