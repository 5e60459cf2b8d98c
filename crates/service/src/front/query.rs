//! The Query protocol, which IAM and STS speak, as a door of the service: what `access` does is admitted, recorded,
//! counted and written here.

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use bytes::Bytes;
use carillon_access::query::{
    Accepted, Counted, Element, Fault, Form, NotAccepted, Overseer, Protocol, Request, Result,
    WEB_IDENTITY_ACTION, document, is_reading,
};
use carillon_access::{Caller, Surrounding};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::error::Error;
use crate::front::audit::{Draft, Notes};
use crate::front::limiter::{Exhausted, Limiter};
use crate::front::request::{Answered, BODY_BYTES_MAX, NoBody, Signed, surrounding};
use crate::front::service::Service;
use crate::front::{cors, retry};
use crate::operation::Effect;

/// Why an action was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// The code that clients of IAM act on, as `NoSuchEntity`.
    pub code: &'static str,
    /// What a person reads.
    pub message: String,
}

/// The service, while an action is done.
struct Overseeing {
    limiter: Option<Arc<Limiter>>,
    notes: Notes,
}

impl Overseer for Overseeing {
    fn asks_about(&self, arn: &str) {
        self.notes.arn(arn);
    }

    fn count(&self, call: Counted<'_>) -> Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        match call {
            Counted::Iam(action) => limiter.iam(action)?,
            Counted::Sts(caller) => limiter.sts(caller)?,
        }
        Ok(())
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
        let accepted = self.access.accept_query(parts, read, BODY_BYTES_MAX, self.when()).await;
        accepted.map_err(|why| {
            let fault = match why {
                NotAccepted::Body(why) => why.into(),
                NotAccepted::Refused(refusal) => {
                    let fault = Fault::from(refusal);
                    self.turned_away(parts, request_id, (fault.code, fault.status), None);
                    log(&fault, "", request_id);
                    fault
                }
            };
            respond(Protocol::of(parts), "", Err(fault), request_id)
        })
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
                let request = self.request(caller, surrounding(parts), request_id, &draft);
                self.act(protocol, request, form, draft).await
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

    /// Does an action of IAM as root, and says so in the audit log: for whoever runs this process and may read its
    /// store. The answer is JSON: texts, objects, and lists.
    pub async fn manage(
        self: &Arc<Self>,
        parameters: Vec<(String, String)>,
    ) -> std::result::Result<Value, Declined> {
        let request_id = self.new_id();
        let draft = self.draft_of_root(&request_id);
        let request = self.request(Some(Caller::root()), Surrounding::default(), &request_id, &draft);
        match self.act(Protocol::Iam, request, Form::of(parameters), draft).await {
            Ok(elements) => Ok(Element::of("", elements).into_json()),
            Err(fault) => {
                if let Some(source) = &fault.source {
                    tracing::error!(code = fault.code, %source, "{}", fault.message);
                }
                Err(Declined { code: fault.code, message: fault.message.into_owned() })
            }
        }
    }

    fn request(
        &self,
        caller: Option<Caller>,
        surrounding: Surrounding,
        request_id: &str,
        draft: &Draft,
    ) -> Request {
        let (id, seed, limiter) = (request_id.to_owned(), self.random(), self.limiter.clone());
        let overseer = Arc::new(Overseeing { limiter, notes: draft.notes() });
        Request { caller, surrounding, when: self.when(), id, seed, overseer }
    }

    /// Does an action, and says so in the audit log, where what nobody signed stands once it was believed.
    async fn act(
        &self,
        protocol: Protocol,
        request: Request,
        form: Form,
        mut draft: Draft,
    ) -> Result<Vec<Element>> {
        let (notes, is_signed) = (draft.notes(), request.caller.is_some());
        let action = form.find("Action").unwrap_or_default();
        let effect = if is_reading(action) { Effect::Read } else { Effect::Write };
        draft.asks(protocol.signing_name(), action, effect);
        notes.resources(form.resources());
        let line = self.line_for(if is_signed { effect } else { Effect::Read }).await?;
        let answer = self.try_to_act(protocol, request, form).await;
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
    async fn try_to_act(&self, protocol: Protocol, request: Request, form: Form) -> Result<Vec<Element>> {
        let caller = request.caller.clone();
        if let Some(caller) = &caller {
            self.may_be_refused(caller)?;
        }
        let answer = self.access.act(protocol, request, form).await;
        if let (Err(fault), Some(caller)) = (&answer, &caller)
            && fault.is_denial()
        {
            self.count_refusal(caller)?;
        }
        answer
    }
}

impl From<Exhausted> for Fault {
    fn from(exhausted: Exhausted) -> Self {
        // The code on which all SDKs wait and try again, though the status does not say so.
        Self {
            retry_after_ms: Some(exhausted.wait_ms),
            ..Self::new(400, "Throttling", exhausted.to_string())
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let retry_after_ms = error.retry_after_ms;
        Self { retry_after_ms, ..Self::new(error.code.status(), error.code.as_str(), error.message) }
    }
}

impl From<NoBody> for Fault {
    fn from(why: NoBody) -> Self {
        Self::new(why.status(), why.code(), why.to_string())
    }
}

fn respond(
    protocol: Protocol,
    action: &str,
    answer: Result<Vec<Element>>,
    request_id: &str,
) -> Response<Bytes> {
    let known_ms = answer.as_ref().err().and_then(|fault| fault.retry_after_ms);
    let code = answer.as_ref().map_or_else(|fault| fault.code, |_| Answered::OK);
    let answered = Answered { operation: protocol.action(action).unwrap_or(Answered::NONE), code };
    let (status, document) = document(protocol, action, answer, request_id);
    let mut response = Response::new(Bytes::from(document));
    *response.status_mut() = StatusCode::from_u16(status).expect("the protocol's statuses are statuses");
    let wait_ms = known_ms.or_else(|| retry::wait_ms(response.status(), request_id));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(request_id).expect("an id is plain text"));
    if let Some(wait_ms) = wait_ms {
        retry::say(headers, wait_ms);
    }
    cors::allow(headers);
    response.extensions_mut().insert(answered);
    response
}

/// Logs a fault once, with the cause that the client is not told.
fn log(fault: &Fault, action: &str, request_id: &str) {
    let (code, message) = (fault.code, &*fault.message);
    // That the store is away it has said itself, once.
    if let Some(source) = &fault.source
        && fault.status != StatusCode::SERVICE_UNAVAILABLE.as_u16()
    {
        tracing::error!(request_id, action, code, %source, "{message}");
    } else {
        tracing::debug!(request_id, action, code, "{message}");
    }
}
