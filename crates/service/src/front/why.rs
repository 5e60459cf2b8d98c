//! Why: whether a principal may do an operation as a bearer on a resource, and what decides.
//!
//! Nothing is judged here. The operation is tried as if the principal had signed it, through the same gate, rules,
//! quotas and flows, in a transaction that is undone; an onlooker notes how far it comes, and the answer is told from
//! that. So what is said here is what would happen.

mod supposed;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use carillon_access::{Ask, Asked as AskedFor, Caller, Check, Gate, Seen, Surrounding};
use carillon_model::IdentityArn;
use carillon_model::shape::Shape;
use carillon_store::iam::Tag;
use carillon_store::{self as store, Tx};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, RefusedBy, Result};
use crate::front::audit::Notes;
use crate::front::connect::ask_of_socket;
use crate::front::onlooker::{Came, Onlooker};
use crate::front::route::{Asked, Route};
use crate::front::router::{self, Match};
use crate::front::service::Service;
use crate::operation::Effect;
#[cfg(test)]
pub(crate) use supposed::sample;

/// The action that policies are asked about, on the ARN of whom the question is about.
const ACTION: &str = "carillon:ExplainAccess";
/// The name of a role's session that nobody has.
const SESSION_NAME: &str = "explained";

/// What is asked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Question {
    /// Who would sign: an access key id, or the ARN or name of a user or role; whoever asks, where nothing is said.
    pub principal: Option<String>,
    /// The tags of the session, where the principal is a role.
    #[serde(default)]
    pub session_tags: BTreeMap<String, String>,
    /// Who would act.
    pub bearer: Option<String>,
    /// What would be done, as `chime:SendChannelMessage`.
    pub action: String,
    /// What it would be done to: the ARN that the operation's path names.
    pub resource: Option<String>,
    /// Other members of the request, by their names; those that are needed and missing are assumed.
    #[serde(default)]
    pub request: Map<String, Value>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Whether nothing refuses it.
    pub allowed: bool,
    /// What decides.
    pub decided_by: Decider,
    /// A sentence for people: what decides, and how.
    pub reason: String,
    /// The ARN of whom it is about.
    pub principal: String,
    /// The statements that were looked at, each for each thing that was asked.
    pub statements: Vec<Statement>,
    /// The code of the error that the call would be answered with, where there would be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The members of the request that the question leaves open, and what was taken for them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub assumed: Map<String, Value>,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decider {
    /// A policy, or that none allows it.
    Policy,
    /// The role of the bearer in the chat.
    Role,
    /// A quota that is full.
    Quota,
    /// The channel flow that each message passes.
    Flow,
    /// That it is root who signs.
    Root,
    /// What it is about, which is not there or not as it would have to be.
    State,
}

/// How a statement stands to what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// The name of the policy.
    pub policy: String,
    /// Its `Sid`, unless it has none.
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: &'static str,
    /// The action that was asked about.
    pub action: String,
    /// The resource that was asked about.
    pub resource: String,
    /// Whether it speaks of this.
    pub matched: bool,
    /// Whether it decides about this.
    pub decides: bool,
    /// Why it does not speak of this, or what it does.
    pub why: String,
}

impl From<Seen> for Statement {
    fn from(seen: Seen) -> Self {
        let Seen { action, resource, policy, sid, allows, mismatch, decides } = seen;
        let matched = mismatch.is_none();
        let does = || if allows { "it allows this" } else { "it denies this" }.to_owned();
        let effect = if allows { "Allow" } else { "Deny" };
        Self { policy, sid, effect, action, resource, matched, decides, why: mismatch.unwrap_or_else(does) }
    }
}

/// The route of the question, which is signed and answered as operations are.
static ROUTE: Route = Route {
    service: "carillon",
    name: "ExplainAccess",
    method: Method::POST,
    uri: "/_carillon/v1/why",
    status: 200,
    effect: Effect::Read,
    errors: &[ErrorCode::BadRequest, ErrorCode::NotFound],
    members: Vec::new,
    response: || Shape::Structure(Vec::new()),
    handle: |service, asked| Box::pin(async move { service.asked_why(asked).await }),
    explain: None,
};

/// The question, where a request is one.
pub(crate) fn find(method: &Method, path: &str) -> Option<Match<'static>> {
    (*method == ROUTE.method && path == ROUTE.uri).then(|| Match { route: &ROUTE, labels: Vec::new() })
}

impl Service {
    async fn asked_why(self: &Arc<Self>, asked: Asked) -> Result<Option<Bytes>> {
        let Asked { incoming, caller, surrounding, notes, .. } = asked;
        let question: Question = incoming.body()?;
        notes.arn(question.principal.as_deref().unwrap_or_default());
        self.may_be_refused(&caller)?;
        let answer = self.why(&question, &caller, &surrounding).await;
        if answer.as_ref().is_err_and(|error| error.code == ErrorCode::AccessDenied) {
            self.count_refusal(&caller)?;
        }
        let body = serde_json::to_vec(&answer?).expect("texts always serialize");
        Ok(Some(body.into()))
    }

    /// Answers a question of whoever runs this process and may read its store.
    pub async fn explain(self: &Arc<Self>, question: &Question) -> Result<Answer> {
        self.refresh_access().await?;
        self.why(question, &Caller::root(), &Surrounding::default()).await
    }

    async fn why(
        self: &Arc<Self>,
        question: &Question,
        asker: &Caller,
        from: &Surrounding,
    ) -> Result<Answer> {
        let caller = self.explained(question, asker, from).await?;
        if let Some(limiter) = &self.limiter {
            limiter.explanation(asker.counted_as())?;
        }
        let onlooker = Arc::new(Onlooker::default());
        let mut assumed = Map::new();
        let outcome = match question.action.split_once(':') {
            Some(("chime", "Connect")) => self.try_socket(question, &caller, from, &onlooker).await,
            Some(("chime", name)) => {
                let route = router::named(name);
                let missing = || Error::bad_request(format!("Action: there is no operation {name}"));
                let (route, explain) =
                    route.and_then(|route| Some((route, route.explain?))).ok_or_else(missing)?;
                let supposed = supposed::request(route, question, &self.new_id())?;
                assumed = supposed.assumed;
                let tried = Asked {
                    incoming: supposed.incoming,
                    caller: caller.clone(),
                    surrounding: from.clone(),
                    notes: Notes::default(),
                    onlooker: Some(onlooker.clone()),
                };
                explain(self.clone(), tried).await
            }
            _ => self.try_policy(question, &caller, from, &onlooker).await,
        };
        let statements = onlooker.witness().seen().into_iter().map(Statement::from).collect();
        let told = Told::of(outcome, &caller, onlooker.came(), (&statements, &assumed))?;
        Ok(Answer {
            allowed: told.allowed,
            decided_by: told.decided_by,
            reason: told.reason,
            principal: caller.arn(self.home().account()),
            statements,
            code: told.code,
            assumed,
        })
    }

    /// Whom a question is about: whoever asks, or anybody about whom a policy lets them ask.
    async fn explained(&self, question: &Question, asker: &Caller, from: &Surrounding) -> Result<Caller> {
        let account = self.home().account();
        let tags = question.session_tags.iter();
        let tags: Vec<Tag> = tags.map(|(key, value)| (key.clone(), value.clone())).collect();
        let Some(named) = question.principal.as_deref().filter(|named| *named != asker.arn(account)) else {
            if !tags.is_empty() {
                return Err(Error::bad_request("SessionTags: are for a Principal that is a role"));
            }
            return Ok(asker.clone());
        };
        let found = self.access.find_named(named);
        let resource = found.as_ref().map_or_else(|| named.to_owned(), |found| found.principal_arn(account));
        let is_own = found.as_ref().is_some_and(|found| found.is_same(asker));
        if !is_own && let Err(denied) = self.may_explain(asker, from, resource).await {
            // What a key or a name stands for is told to those alone who may ask about it.
            return Err(match denied.code {
                ErrorCode::AccessDenied => Error::access_denied(format!(
                    "User: {} is not authorized to perform: {ACTION} on resource: {named}",
                    asker.arn(account)
                )),
                _ => denied,
            });
        }
        let missing = || Error::not_found("Principal: there is no such user, role or access key");
        let session = named.rsplit_once(":assumed-role/").and_then(|(_, role)| role.split_once('/'));
        let session = session.map_or(SESSION_NAME, |(_, session)| session);
        Ok(found.ok_or_else(missing)?.supposed(session, tags, self.surroundings().clock.now()))
    }

    async fn may_explain(&self, asker: &Caller, from: &Surrounding, resource: String) -> Result<()> {
        let ask = Ask::new(ACTION, resource);
        let (gate, home) = (self.gate_of(asker, ask, from, None), self.home().clone());
        self.store().read(move |tx| gate.pass_in::<Error>(tx, &home)).await
    }

    fn gate_of(&self, caller: &Caller, ask: Ask, from: &Surrounding, onlooker: Option<&Onlooker>) -> Gate {
        Gate {
            caller: caller.clone(),
            asked: AskedFor { checks: vec![Check(vec![ask])], ..AskedFor::default() },
            surrounding: from.clone(),
            now: self.surroundings().clock.now(),
            witness: onlooker.map(Onlooker::witness),
        }
    }

    /// What policies say of an action that is no operation.
    async fn try_policy(
        &self,
        question: &Question,
        caller: &Caller,
        from: &Surrounding,
        onlooker: &Onlooker,
    ) -> Result<()> {
        onlooker.decoded();
        let ask = Ask::new(question.action.clone(), question.resource.as_deref().unwrap_or("*"));
        let (gate, home) = (self.gate_of(caller, ask, from, Some(onlooker)), self.home().clone());
        self.store().read(move |tx| gate.pass_in::<Error>(tx, &home)).await
    }

    async fn try_socket(
        &self,
        question: &Question,
        caller: &Caller,
        from: &Surrounding,
        onlooker: &Onlooker,
    ) -> Result<()> {
        let user = question.resource.as_ref().or(question.bearer.as_ref());
        let user = user.and_then(|arn| arn.parse::<IdentityArn>().ok());
        let user = user.ok_or_else(|| Error::bad_request("Resource: must be the ARN of a user"))?;
        onlooker.decoded();
        let (gate, home) =
            (self.gate_of(caller, ask_of_socket(&user), from, Some(onlooker)), self.home().clone());
        self.store()
            .read(move |tx: &mut Tx| {
                gate.pass_in::<Error>(tx, &home)?;
                let found = store::identity::find(tx, &user)?;
                found.map(drop).ok_or_else(|| Error::forbidden("The user does not exist"))
            })
            .await
    }
}

/// What the end of a try says.
struct Told {
    allowed: bool,
    decided_by: Decider,
    reason: String,
    code: Option<&'static str>,
}

impl Told {
    fn of(
        outcome: Result<()>,
        caller: &Caller,
        came: Came,
        (statements, assumed): (&Vec<Statement>, &Map<String, Value>),
    ) -> Result<Self> {
        let Err(error) = outcome else { return Ok(Self::allowed(caller, came, statements)) };
        match error.code {
            ErrorCode::ServiceFailure | ErrorCode::ServiceUnavailable => return Err(error),
            ErrorCode::BadRequest if !came.is_decoded => {
                return Err(Error::bad_request(format!("Request: {}", error.message)));
            }
            ErrorCode::Unauthorized if !came.is_decoded => {
                return Err(Error::bad_request(
                    "Bearer: is required, and must be the ARN of a user or a bot",
                ));
            }
            _ => {}
        }
        let code = Some(error.code.as_str());
        let refused =
            |decided_by| Self { allowed: false, decided_by, reason: error.message.to_string(), code };
        Ok(match error.refused_by {
            Some(RefusedBy::Policy) => refused(Decider::Policy),
            Some(RefusedBy::Role) => refused(Decider::Role),
            Some(RefusedBy::Quota(_) | RefusedBy::Rate) => refused(Decider::Quota),
            Some(RefusedBy::State) if !assumed.keys().any(|name| supposed::is_identifying(name)) => {
                refused(Decider::State)
            }
            None if error.code == ErrorCode::Unauthorized => refused(Decider::State),
            // Nobody refuses the caller: it is what the request says, or what was assumed of it.
            Some(RefusedBy::State) | None => {
                let allowed = Self::allowed(caller, came, statements);
                let reason = format!("{}. The call would be answered with: {error}", allowed.reason);
                Self { reason, code, ..allowed }
            }
        })
    }

    fn allowed(caller: &Caller, came: Came, statements: &[Statement]) -> Self {
        let (decided_by, reason) = if let Some(flow) = came.flow {
            (
                Decider::Flow,
                format!("Each message passes the channel flow {flow}, whose processors decide about it"),
            )
        } else if let Some(grant) = came.grant {
            (Decider::Role, format!("It is for {grant}, and the bearer is one of them"))
        } else if caller.is_root() {
            (Decider::Root, "Root may do whatever policies decide about".to_owned())
        } else {
            let deciding = statements.iter().find(|statement| statement.decides);
            let reason = deciding.map_or_else(String::new, |statement| {
                let sid = statement.sid.as_ref().map(|sid| format!(", statement {sid}"));
                format!("The policy {}{} allows it", statement.policy, sid.unwrap_or_default())
            });
            (Decider::Policy, reason)
        };
        Self { allowed: true, decided_by, reason, code: None }
    }
}
