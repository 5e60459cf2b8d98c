//! The world of a test: a store of its own, a clock that stands still, seeded randomness, and a client that
//! goes through dispatch as any other would.
//!
//! `#[engine_test]` makes one on each engine. PostgreSQL is where `CARILLON_TEST_POSTGRES` says; each world gets
//! a schema of its own there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use carillon_auth::{KeyRing, Secret, SignedRequest, Signer, presign, sign};
pub(crate) use carillon_macros::engine_test;
use carillon_model::arn::Home;
use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_model::event::{Change, Event, EventType};
use carillon_model::text::*;
use carillon_model::{AppInstanceArn, ChannelArn, ChannelFlowArn, IdentityArn, Key, MessageKey, Timestamp};
use carillon_store::in_flight::Waiting;
use carillon_store::{self as store, Lane, Location, Sink, Store};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::chat::balancing;
use crate::chat::retention;
pub(crate) use crate::error::ErrorCode;
use crate::front::audit::{Ledger, Place, Record};
use crate::front::connect::{Close, Connection};
use crate::front::exchange::{Exchanged, Person, Requester, Role};
use crate::front::invocation::Invocation;
use crate::front::rates::Rates;
use crate::front::resume::Shown;
use crate::front::web_identity::{Finding, KeySets, KeySource, Unreachable};
use crate::functions::Functions;
use crate::jobs;
use crate::operation::{Operation, Outgoing, Paged};
use crate::operations::identity::create_app_instance::CreateAppInstance;
use crate::operations::identity::create_app_instance_admin::CreateAppInstanceAdmin;
use crate::operations::identity::create_app_instance_bot::CreateAppInstanceBot;
use crate::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use crate::operations::identity::register_app_instance_user_endpoint::RegisterAppInstanceUserEndpoint;
use crate::operations::messaging::associate_channel_flow::AssociateChannelFlow;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::create_channel_ban::CreateChannelBan;
use crate::operations::messaging::create_channel_flow::CreateChannelFlow;
use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
use crate::operations::messaging::create_channel_moderator::CreateChannelModerator;
use crate::operations::messaging::delete_channel::DeleteChannel;
use crate::operations::messaging::delete_channel_membership::DeleteChannelMembership;
use crate::operations::messaging::disassociate_channel_flow::DisassociateChannelFlow;
use crate::operations::messaging::list_channel_memberships::ListChannelMemberships;
use crate::operations::messaging::list_channel_messages::ListChannelMessages;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::patience::Patience;
use crate::processors::Processors;
use crate::quotas::Quotas;
use crate::shapes::{
    Configuration, ElasticChannelConfiguration, EndpointAttributes, LambdaConfiguration, LexConfiguration,
    Processor, ProcessorConfiguration, Target,
};
use crate::{Clock, RootCredentials, Service, Settings};

/// The instant at which every world begins: 2026-01-15T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_768_478_400_000);
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "111122223333";
const HOST: &str = "carillon.example.test";
/// Channels whose members' subscriptions a world follows, to know who is told of what.
const SEED: u64 = 42;
/// Rows that one step of a job deletes here: so few that every job needs several.
const STEP_LEN: i64 = 3;

/// One test's world.
pub(crate) struct World {
    service: Arc<Service>,
    clock: Arc<StandingClock>,
    events: Arc<Mutex<Vec<Event>>>,
    records: Arc<Mutex<Vec<Record>>>,
    /// Who is told of what: kept up to date from the events alone, as a bus keeps it.
    told: Told,
    instance: AppInstanceArn,
    quotas: Quotas,
    processors: fn() -> Processors,
    rates: Rates,
    /// Who signs.
    credentials: Credentials,
    location: Location,
    tokens: u64,
    restarts: u64,
    _directory: Option<tempfile::TempDir>,
}

/// An error as the client reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

/// What a client signs with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
}

impl Credentials {
    pub(crate) fn root() -> Self {
        Self { access_key_id: "ROOT".to_owned(), secret: "secret".to_owned(), session_token: None }
    }
}

struct StandingClock(AtomicI64);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::Relaxed))
    }
    fn real(&self) -> Timestamp {
        START
    }
    fn steady(&self) -> Duration {
        Duration::from_millis(self.now().ms().unsigned_abs())
    }
}

#[derive(Default)]
struct Told {
    /// Sub-channel, user, hidden.
    subscriptions: Vec<(Key, Key, bool)>,
}

impl World {
    /// For what is true of declarations and rules, which no engine changes.
    pub(crate) fn once(test: fn(&mut Self)) {
        Self::on_sqlite(test);
    }

    pub(crate) fn on_sqlite(test: fn(&mut Self)) {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(directory.path().join("carillon.db"));
        test(&mut Self::new(location, Some(directory)));
    }

    pub(crate) fn on_postgres(test: fn(&mut Self)) {
        let schema = store::testing::Schema::new();
        test(&mut Self::new(schema.location(), None));
    }

    fn new(location: Location, directory: Option<tempfile::TempDir>) -> Self {
        let clock = Arc::new(StandingClock(AtomicI64::new(START.ms())));
        let events = Arc::new(Mutex::new(Vec::new()));
        let quotas = Quotas { app_instances_max: 12, ..Quotas::default() };
        let records = Arc::default();
        let (rates, processors): (Rates, fn() -> Processors) = (Rates::OFF, Processors::default);
        let service = service((&location, SEED), &clock, (&events, &records), (quotas, rates), processors());
        let instance =
            AppInstanceArn::try_from(format!("arn:aws:chime:{REGION}:{ACCOUNT}:app-instance/x")).unwrap();
        let told = Told::default();
        let mut world = Self {
            service,
            clock,
            events,
            records,
            told,
            instance,
            quotas,
            processors,
            rates,
            credentials: Credentials::root(),
            location,
            tokens: 0,
            restarts: 0,
            _directory: directory,
        };
        world.instance = world.new_instance();
        world
    }

    /// Calls an operation as a client would: encoded, signed, sent, decoded.
    pub(crate) fn call<O: Operation>(&mut self, operation: &O) -> Result<O::Response, Refused> {
        Self::decoded::<O>(&self.send_signed(&operation.encode()))
    }

    /// Reads a list to its end, page by page: `take` keeps what a page holds, and says where the next one begins.
    pub(crate) fn turn_pages<O: Paged>(
        &mut self,
        list: &mut O,
        mut take: impl FnMut(O::Response) -> Option<NextToken>,
    ) {
        loop {
            let token = take(self.call(list).unwrap());
            list.begin_at(token.clone());
            if token.is_none() {
                return;
            }
        }
    }

    fn decoded<O: Operation>(response: &Response<Bytes>) -> Result<O::Response, Refused> {
        let (status, body) = (response.status().as_u16(), response.body());
        let text: &[u8] = if body.is_empty() { b"{}" } else { body };
        if status == O::STATUS {
            return Ok(serde_json::from_slice(text).unwrap());
        }
        let error: serde_json::Value = serde_json::from_slice(text).unwrap();
        let named = |code: &ErrorCode| error["Code"] == code.as_str() && code.status() == status;
        let code = ALL_CODES.iter().copied().find(named).unwrap_or_else(|| panic!("{status} {error}"));
        assert_eq!(response.headers()["x-amzn-errortype"], code.exception());
        Err(Refused { code, message: error["Message"].as_str().unwrap().to_owned() })
    }

    /// The code that an operation is refused with.
    pub(crate) fn refusal(&mut self, operation: &impl Operation) -> ErrorCode {
        match self.call(operation) {
            Ok(_) => panic!("it was not refused"),
            Err(refused) => refused.code,
        }
    }

    /// Sends a signed request of any form; answers status and JSON body.
    pub(crate) fn raw(&mut self, method: &str, target: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.raw_with(method, (path, query), &[], body)
    }

    /// Sends a signed request of any form, with headers; answers status and JSON body.
    pub(crate) fn raw_with(
        &mut self,
        method: &str,
        (path, query): (&str, &str),
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> (u16, serde_json::Value) {
        let request = self.signed("chime", (method, path, query), headers, body);
        let response = futures(self.service.handle(request));
        let body = response.body();
        (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default())
    }

    fn send_signed(&mut self, outgoing: &Outgoing) -> Response<Bytes> {
        let (path, query) = (&outgoing.path, &outgoing.query);
        let request = self.signed(
            "chime",
            (outgoing.method.as_str(), path, query),
            &outgoing.headers,
            &outgoing.body(),
        );
        futures(self.service.handle(request))
    }

    /// Sends a request, changed on its way; answers its status, and whether its body was asked for.
    pub(crate) fn watched(
        &self,
        service: &str,
        target: (&str, &str, &str),
        change: impl FnOnce(&mut HeaderMap),
    ) -> (u16, bool) {
        let (mut parts, body) = self.signed(service, target, &[], b"{}").into_parts();
        change(&mut parts.headers);
        let was_read = std::cell::Cell::new(false);
        let read = async |_| {
            was_read.set(true);
            Ok(body)
        };
        let response = futures(self.service.handle_unread(parts, read));
        (response.status().as_u16(), was_read.get())
    }

    fn signed(
        &self,
        service: &str,
        (method, path, query): (&str, &str, &str),
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Request<Bytes> {
        let mut all = vec![("host", HOST), ("x-amz-date", "20260115T120000Z")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let token = self.credentials.session_token.clone();
        all.extend(token.iter().map(|token| ("x-amz-security-token", token.as_str())));
        let secret = Secret::new(self.credentials.secret.clone());
        let signer = Signer {
            access_key_id: &self.credentials.access_key_id,
            secret: &secret,
            session_token: None,
            region: REGION,
            service,
        };
        let request = SignedRequest { method, path, query, headers: &all, body };
        let authorization = sign(&request, &signer, START.ms()).unwrap();
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request =
            Request::builder().method(method).uri(target).header("authorization", authorization);
        for (name, value) in all {
            request = request.header(name, value);
        }
        request.body(Bytes::copy_from_slice(body)).unwrap()
    }

    /// Signs what follows with these credentials; answers those that signed before.
    pub(crate) fn sign_with(&mut self, credentials: Credentials) -> Credentials {
        std::mem::replace(&mut self.credentials, credentials)
    }

    /// Asks IAM or STS, with a form; answers status and document.
    pub(crate) fn query(&mut self, service: &str, form: &[(&str, &str)]) -> (u16, String) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = self.signed(service, ("POST", "/", ""), &[], pairs.join("&").as_bytes());
        let response = futures(self.service.handle(request));
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    /// Does an action of IAM as somebody at the console does.
    pub(crate) fn manage(&mut self, form: &[(&str, &str)]) -> Result<serde_json::Value, crate::Declined> {
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        futures(self.service.manage(form))
    }

    /// Credentials for somebody whom an application vouches for, or nobody knows.
    pub(crate) fn exchange(&mut self, person: &Person, role: Role) -> Exchanged {
        self.try_exchange(person, role).unwrap()
    }

    /// The same, or why there are none.
    pub(crate) fn try_exchange(&mut self, person: &Person, role: Role) -> crate::error::Result<Exchanged> {
        let from = Requester { request_id: "exchange".to_owned(), address: None };
        futures(self.service.exchange(&self.instance, person, role, &from))
    }

    /// Opens a socket, as far as the service is concerned.
    pub(crate) fn connect(&mut self, user: &IdentityArn) -> Result<Connection, Close> {
        self.connect_with(user, "sessionId=1")
    }

    /// The same, with this query beside the user and the signature.
    pub(crate) fn connect_with(&mut self, user: &IdentityArn, query: &str) -> Result<Connection, Close> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let secret = Secret::new(self.credentials.secret.clone());
        let signer = Signer {
            access_key_id: &self.credentials.access_key_id,
            secret: &secret,
            session_token: self.credentials.session_token.as_deref(),
            region: REGION,
            service: "chime",
        };
        let query = format!("{query}&userArn={}", encode(user.as_str()));
        let headers = [("host", HOST)];
        let request =
            SignedRequest { method: "GET", path: "/connect", query: &query, headers: &headers, body: b"" };
        let query = presign(&request, &signer, START.ms(), 10).unwrap();
        let request = Request::get(format!("/connect?{query}")).header("host", HOST).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        futures(self.service.connect(&parts))
    }

    /// The payloads of what a session of this user is shown first.
    pub(crate) fn prefetch(&mut self, who: &IdentityArn, query: &str) -> Vec<serde_json::Value> {
        let payload = |(frame, _): (serde_json::Value, _)| {
            assert_eq!(frame["Headers"]["x-amz-chime-event-type"], "CHANNEL_DETAILS");
            assert_eq!(frame["Headers"]["x-amz-chime-message-type"], "SYSTEM");
            serde_json::from_str(frame["Payload"].as_str().unwrap()).unwrap()
        };
        self.shown(who, query).into_iter().map(payload).collect()
    }

    /// The frames that a session of this user is shown first, each with the event that it tells again.
    pub(crate) fn shown(
        &mut self,
        who: &IdentityArn,
        query: &str,
    ) -> Vec<(serde_json::Value, Option<(Key, i64)>)> {
        let connection = self.connect_with(who, &format!("{query}&sessionId=1")).unwrap();
        let Some(frames) = self.service.opening(&connection) else { return Vec::new() };
        let read = |shown: Result<Shown, Close>| {
            let Shown { frame, event } = shown.unwrap();
            (serde_json::from_str(&frame).unwrap(), event)
        };
        futures(frames.map(read).collect())
    }

    pub(crate) fn instance(&self) -> &AppInstanceArn {
        &self.instance
    }

    pub(crate) fn new_instance(&mut self) -> AppInstanceArn {
        let create = CreateAppInstance {
            name: text("Bells"),
            metadata: None,
            client_request_token: self.token(),
            tags: None,
        };
        self.call(&create).unwrap().app_instance_arn
    }

    /// Makes another app instance, and has what follows happen there.
    pub(crate) fn use_new_instance(&mut self) {
        self.instance = self.new_instance();
    }

    pub(crate) fn token(&mut self) -> ClientRequestToken {
        self.tokens += 1;
        text(&format!("world-{}", self.tokens))
    }

    /// A user with this id, whose name is the id with a capital.
    pub(crate) fn user(&mut self, id: &str) -> IdentityArn {
        self.user_of(self.instance.clone(), id)
    }

    /// A user of another app instance.
    pub(crate) fn stranger(&mut self, id: &str) -> IdentityArn {
        let instance = self.new_instance();
        self.user_of(instance, id)
    }

    fn user_of(&mut self, app_instance_arn: AppInstanceArn, id: &str) -> IdentityArn {
        let create = CreateAppInstanceUser {
            app_instance_arn,
            app_instance_user_id: text(id),
            name: text(&(id[..1].to_uppercase() + &id[1..])),
            metadata: None,
            client_request_token: self.token(),
            tags: None,
            expiration_settings: None,
        };
        self.call(&create).unwrap().app_instance_user_arn
    }

    /// A user who administers the app instance.
    pub(crate) fn admin(&mut self, id: &str) -> IdentityArn {
        let user = self.user(id);
        self.promote(&user);
        user
    }

    /// Makes someone an administrator.
    pub(crate) fn promote(&mut self, who: &IdentityArn) {
        let (app_instance_admin_arn, app_instance_arn) = (who.clone(), self.instance.clone());
        self.call(&CreateAppInstanceAdmin { app_instance_admin_arn, app_instance_arn }).unwrap();
    }

    /// A bot with this name.
    pub(crate) fn bot(&mut self, name: &str) -> IdentityArn {
        let create = CreateAppInstanceBot { client_request_token: self.token(), ..bot_request(self, name) };
        self.call(&create).unwrap().app_instance_bot_arn
    }

    /// A channel that this user created.
    pub(crate) fn channel_of(
        &mut self,
        who: &IdentityArn,
        mode: ChannelMode,
        privacy: ChannelPrivacy,
    ) -> ChannelArn {
        let create = CreateChannel {
            mode: Some(mode),
            privacy: Some(privacy),
            client_request_token: self.token(),
            ..channel_request(self, who)
        };
        self.call(&create).unwrap().channel_arn
    }

    /// Adds a member; answers where it went in an elastic channel.
    pub(crate) fn join(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        member: &IdentityArn,
    ) -> Option<SubChannelId> {
        self.join_as(channel, by, member, ChannelMembershipType::Default, None).unwrap()
    }

    /// Adds a member, if that may be.
    pub(crate) fn try_join(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        member: &IdentityArn,
        kind: ChannelMembershipType,
    ) -> Result<Option<SubChannelId>, Refused> {
        self.join_as(channel, by, member, kind, None)
    }

    pub(crate) fn join_hidden(&mut self, channel: &ChannelArn, by: &IdentityArn, member: &IdentityArn) {
        self.join_as(channel, by, member, ChannelMembershipType::Hidden, None).unwrap();
    }

    pub(crate) fn join_sub_channel(&mut self, channel: &ChannelArn, who: &IdentityArn, place: &SubChannelId) {
        self.join_as(channel, who, who, ChannelMembershipType::Default, Some(place.clone())).unwrap();
    }

    fn join_as(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        member: &IdentityArn,
        kind: ChannelMembershipType,
        sub_channel_id: Option<SubChannelId>,
    ) -> Result<Option<SubChannelId>, Refused> {
        let create = CreateChannelMembership {
            channel_arn: channel.clone(),
            member_arn: member.clone(),
            kind,
            chime_bearer: by.clone(),
            sub_channel_id,
        };
        self.call(&create).map(|created| created.sub_channel_id)
    }

    /// Makes someone a moderator.
    pub(crate) fn moderate(&mut self, channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) {
        self.try_moderate(channel, by, who).unwrap();
    }

    /// Makes someone a moderator, if that may be.
    pub(crate) fn try_moderate(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        who: &IdentityArn,
    ) -> Result<(), Refused> {
        let create = CreateChannelModerator {
            channel_arn: channel.clone(),
            channel_moderator_arn: who.clone(),
            chime_bearer: by.clone(),
        };
        self.call(&create).map(|_| ())
    }

    /// Bans someone.
    pub(crate) fn ban(&mut self, channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) {
        self.try_ban(channel, by, who).unwrap();
    }

    /// Bans someone, if that may be.
    pub(crate) fn try_ban(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        who: &IdentityArn,
    ) -> Result<(), Refused> {
        let create = CreateChannelBan {
            channel_arn: channel.clone(),
            member_arn: who.clone(),
            chime_bearer: by.clone(),
        };
        self.call(&create).map(|_| ())
    }

    /// Deletes a channel.
    pub(crate) fn end(&mut self, channel: &ChannelArn, by: &IdentityArn) {
        self.try_end(channel, by).unwrap();
    }

    /// Deletes a channel, if it is there.
    pub(crate) fn try_end(&mut self, channel: &ChannelArn, by: &IdentityArn) -> Result<(), Refused> {
        let delete = DeleteChannel { channel_arn: channel.clone(), chime_bearer: by.clone() };
        self.call(&delete).map(|_| ())
    }

    /// Takes a member of a channel out.
    pub(crate) fn leave(&mut self, channel: &ChannelArn, who: &IdentityArn) {
        self.try_leave(channel, who).unwrap();
    }

    /// Takes someone out of a channel, if they belong to it.
    pub(crate) fn try_leave(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Result<(), Refused> {
        let delete = DeleteChannelMembership {
            channel_arn: channel.clone(),
            member_arn: who.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        self.call(&delete).map(|_| ())
    }

    /// A channel flow of one processor.
    pub(crate) fn flow(&mut self) -> ChannelFlowArn {
        self.flow_of(&[FallbackAction::Abort])
    }

    /// A channel flow of a processor with each of these fallbacks.
    pub(crate) fn flow_of(&mut self, fallbacks: &[FallbackAction]) -> ChannelFlowArn {
        let request = flow_request(self);
        let processor = |(order, fallback): (i64, &FallbackAction)| Processor {
            execution_order: order.try_into().unwrap(),
            fallback_action: *fallback,
            ..request.processors[0].clone()
        };
        let processors = (1..).zip(fallbacks).map(processor).collect();
        let create = CreateChannelFlow { client_request_token: self.token(), processors, ..request };
        self.call(&create).unwrap().channel_flow_arn
    }

    /// A channel flow of these functions of the account.
    pub(crate) fn flow_of_functions(&mut self, functions: &[&str]) -> ChannelFlowArn {
        let request = flow_request(self);
        let processor = |(order, function): (i64, &&str)| {
            let mut processor = request.processors[0].clone();
            processor.execution_order = order.try_into().unwrap();
            processor.configuration.lambda.resource_arn =
                text(&format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"));
            processor
        };
        let processors = (1..).zip(functions).map(processor).collect();
        let create = CreateChannelFlow { client_request_token: self.token(), processors, ..request };
        self.call(&create).unwrap().channel_flow_arn
    }

    /// Sets how many days the messages of an app instance are kept.
    pub(crate) fn keep_messages(&mut self, instance: &AppInstanceArn, days: Option<&str>) {
        let days: serde_json::Map<_, _> = days
            .map(|days| ("RetentionDays".to_owned(), days.parse::<i64>().unwrap().into()))
            .into_iter()
            .collect();
        let body = serde_json::json!({
            "AppInstanceRetentionSettings": { "ChannelRetentionSettings": days }
        });
        let target = format!(
            "/app-instances/{}/retention-settings",
            instance.as_str().replace(':', "%3A").replace('/', "%2F")
        );
        assert_eq!(self.raw("PUT", &target, body.to_string().as_bytes()).0, 200);
    }

    /// Sends a message, with a token of its own.
    pub(crate) fn send(&mut self, channel: &ChannelArn, who: &IdentityArn, content: &str) -> MessageId {
        let client_request_token = self.token();
        let send = SendChannelMessage { client_request_token, ..message_request(channel, who, content) };
        self.call(&send).unwrap().message_id
    }

    /// Sends a message that only the target sees.
    pub(crate) fn send_to(
        &mut self,
        channel: &ChannelArn,
        who: &IdentityArn,
        content: &str,
        target: &IdentityArn,
    ) -> MessageId {
        let client_request_token = self.token();
        let target = Some(vec![Target { member_arn: Some(target.clone()) }]);
        let send =
            SendChannelMessage { client_request_token, target, ..message_request(channel, who, content) };
        self.call(&send).unwrap().message_id
    }

    /// The ids of the members that someone sees, in order.
    pub(crate) fn members(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Vec<String> {
        let list = ListChannelMemberships {
            channel_arn: channel.clone(),
            kind: None,
            max_results: None,
            next_token: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        let listed = self.call(&list).unwrap().channel_memberships;
        let mut ids: Vec<_> = listed.iter().map(|entry| entry.member.arn.id().to_owned()).collect();
        ids.sort();
        ids
    }

    /// The contents that someone sees, newest first.
    pub(crate) fn contents(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Vec<String> {
        let listed = self.call(&messages_of(channel, who)).unwrap().channel_messages;
        listed.into_iter().map(|message| message.content.unwrap().into_string()).collect()
    }

    /// Sends a message that fails in a flow, which the channel has for this message alone.
    pub(crate) fn send_failing(
        &mut self,
        channel: &ChannelArn,
        moderator: &IdentityArn,
        who: &IdentityArn,
        content: &str,
    ) -> MessageId {
        let flow = self.flow();
        self.call(&association(channel, &flow, moderator)).unwrap();
        let id = self.send(channel, who, content);
        let invocation = self.invocations().pop().unwrap();
        assert!(self.fail(&invocation, Failure { reason: Reason::NotReachable, permanent: true }));
        self.call(&disassociation(channel, &flow, moderator)).unwrap();
        id
    }

    /// Runs one step of a job.
    pub(crate) fn step<T: Send + 'static>(
        &mut self,
        job: impl Fn(&mut store::Tx, Timestamp) -> crate::error::Result<T> + Send + 'static,
    ) -> T {
        let now = self.clock.now();
        futures(self.service.store().write(Lane::Job, move |tx| job(tx, now))).unwrap()
    }

    /// Runs every job on what is deleted or expired until nothing is left to do, in steps of few rows.
    pub(crate) fn run_jobs(&mut self) {
        self.expire_channels();
        self.expire_users();
        while let Some(jobs::Leaving { who, channels }) =
            self.step(|tx, _| jobs::find_leaving(tx, &Self::home(), jobs::FIRST)).0
        {
            if channels.is_empty() {
                self.step(move |tx, _| jobs::finish_leaving(tx, &who));
                continue;
            }
            for (key, _) in channels {
                let who = who.clone();
                self.step(move |tx, now| jobs::leave_channel(tx, now, &who, key));
            }
        }
        while self.step(|tx, now| jobs::destroy(tx, &Self::home(), now, (jobs::FIRST, STEP_LEN))) {}
        while self.step(jobs::trim_outbox) {}
        let mut next = Some(jobs::first_token());
        while let Some(from) = next {
            let (old, rest) = self.step(move |tx, now| jobs::find_old_tokens(tx, now, &from));
            self.step(move |tx, now| jobs::trim_tokens(tx, now, &old));
            next = rest;
        }
    }

    /// Destroys what retention and its grace have passed.
    pub(crate) fn destroy_old_messages(&mut self) {
        let (instances, rest) = self.step(|tx, now| retention::find_instances(tx, now, Key([0; 16])));
        assert_eq!(rest, None, "a test has few app instances");
        for destroying in instances {
            let mut next = Some(String::new());
            while let Some(from) = next {
                let find = move |tx: &mut store::Tx, _| {
                    retention::find_channels(tx, &Self::home(), destroying, &from)
                };
                let (channels, rest) = self.step(find);
                for (_, key) in channels {
                    while self.step(move |tx, _| retention::destroy(tx, key, destroying.bound)) {}
                }
                next = rest;
            }
        }
    }

    /// Moves up to `limit` rows of each elastic channel that is to be balanced; false when nothing is left to do.
    pub(crate) fn balance_once(&mut self, limit: i64) -> bool {
        let (channels, _) =
            self.step(|tx, _| balancing::find_channels(tx, &Self::home(), balancing::FIRST_CHANNEL));
        let mut more = false;
        for (arn, key) in channels {
            more |= self.step(move |tx, now| balancing::step(tx, now, (&arn, key), limit));
        }
        more
    }

    /// Balances all elastic channels, row by row.
    pub(crate) fn balance(&mut self) {
        while self.balance_once(1) {}
    }

    /// The sub-channel that someone sits in, the first of several; nothing in an ordinary channel.
    pub(crate) fn place_of(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Option<SubChannelId> {
        let (channel, who) = (channel.clone(), who.clone());
        let read = self.service.store().read(move |tx| {
            let standing = store::channel::find_standing(tx, &who, &channel)?.unwrap();
            let Some(channel) = standing.channel else { return Ok(None) };
            let places = store::membership::list_subscriptions_in(tx, channel.key, standing.identity.key)?;
            Ok::<_, store::Error>(
                places.first().map(|place| place.sub_channel).filter(|place| *place != channel.key),
            )
        });
        futures(read).unwrap().map(|place: Key| text(&place.to_string()))
    }

    /// Deletes the channels that have expired.
    pub(crate) fn expire_channels(&mut self) {
        let mut next = Some(jobs::FIRST);
        while let Some(from) = next {
            let find =
                move |tx: &mut store::Tx, now| jobs::find_expired_channels(tx, &Self::home(), now, from);
            let jobs::Found { due, next: rest, .. } = self.step(find);
            for channel in due {
                assert!(self.step(move |tx, now| jobs::expire_channel(tx, now, channel.clone())));
            }
            next = rest;
        }
    }

    /// Deletes the users that have expired.
    pub(crate) fn expire_users(&mut self) {
        let mut next = Some(jobs::FIRST);
        while let Some(from) = next {
            let find = move |tx: &mut store::Tx, now| jobs::find_expired_users(tx, &Self::home(), now, from);
            let jobs::Found { due, next: rest, .. } = self.step(find);
            for user in due {
                assert!(self.step(move |tx, now| jobs::expire_user(tx, now, &user)));
            }
            next = rest;
        }
    }

    /// How many rows each table has, in the order of their names.
    pub(crate) fn row_counts(&mut self) -> Vec<(String, i64)> {
        futures(self.service.store().read(store::testing::row_counts)).unwrap()
    }

    /// Region and account.
    pub(crate) fn home() -> Home {
        Home::new(REGION, ACCOUNT)
    }

    /// Everything that the store holds of a message and of its channel's events, as text.
    pub(crate) fn stored_texts(&mut self, channel: &ChannelArn, id: &MessageId) -> String {
        let (channel, key) = (channel.clone(), MessageKey::from_hex(id.as_str()).unwrap());
        let anyone = channel.app_instance().user("ana");
        let texts = self.service.store().read(move |tx| {
            let standing = store::channel::find_standing(tx, &anyone, &channel)?.unwrap();
            let place = standing.channel.unwrap().key;
            let mut texts = store::message::find_push_notification(tx, place, key)?.unwrap_or_default();
            for event in store::outbox::list(tx, place, 0, 100)? {
                texts += &event.payload;
            }
            Ok::<_, store::Error>(texts)
        });
        futures(texts).unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance_ms(&mut self, by: i64) {
        self.clock.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// Restarts the service on the same store with other quotas.
    pub(crate) fn set_quotas(&mut self, change: impl FnOnce(&mut Quotas)) {
        change(&mut self.quotas);
        self.restart();
    }

    /// Restarts the service on the same store with rates, all buckets full.
    pub(crate) fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
        self.restart();
    }

    /// Restarts the service on the same store with these processors built in.
    pub(crate) fn set_processors(&mut self, processors: fn() -> Processors) {
        self.processors = processors;
        self.restart();
    }

    /// Restarts the service on the same store.
    pub(crate) fn restart(&mut self) {
        self.restarts += 1;
        self.service = self.start();
    }

    fn start(&self) -> Arc<Service> {
        // A service that starts again does not make the same keys again.
        let place = (&self.location, SEED + self.restarts);
        service(
            place,
            &self.clock,
            (&self.events, &self.records),
            (self.quotas, self.rates),
            (self.processors)(),
        )
    }

    /// Leases the calls of processors that are due.
    pub(crate) fn invocations(&mut self) -> Vec<Invocation> {
        let service = self.service.clone();
        let lease = async |function: &str| service.lease_invocations(function, 100).await.unwrap();
        futures(self.leased(lease))
    }

    /// Gives up the calls that nobody could make in time; answers which.
    pub(crate) fn give_up(&mut self, unasked: Unasked) -> Vec<Invocation> {
        let service = self.service.clone();
        let lease = async |function: &str| service.lease_overdue(function, 100).await.unwrap();
        let overdue = futures(self.leased(lease));
        for invocation in &overdue {
            assert!(futures(self.service.not_asked(invocation, unasked)).unwrap());
        }
        overdue
    }

    /// What functions messages wait for, after one.
    pub(crate) fn waiting(&self, after: &str) -> Vec<Waiting> {
        futures(self.service.list_waiting(after, 100)).unwrap()
    }

    /// Leases the calls of one function that are due, up to a limit.
    pub(crate) fn invocations_of(&mut self, function: &str, limit: i64) -> Vec<Invocation> {
        futures(self.service.lease_invocations(function, limit)).unwrap()
    }

    async fn leased(&self, lease: impl AsyncFn(&str) -> Vec<Invocation>) -> Vec<Invocation> {
        let mut leased = Vec::new();
        for waiting in self.service.list_waiting("", 100).await.unwrap() {
            leased.extend(lease(&waiting.function).await);
        }
        leased
    }

    /// Reports that a processor took its call.
    pub(crate) fn hand_over(&mut self, invocation: &Invocation) {
        futures(self.service.handed_over(invocation)).unwrap();
    }

    /// Reports that a call failed; answers whether the fallback decided.
    pub(crate) fn fail(&mut self, invocation: &Invocation, failure: Failure) -> bool {
        futures(self.service.not_handed_over(invocation, failure)).unwrap()
    }

    /// Ends the waits that are over.
    pub(crate) fn fail_overdue(&mut self) {
        while futures(self.service.fail_overdue(100, &mut 0)).unwrap() {}
    }

    /// Calls operations at once, in turn on two nodes that share the store, while both run a job in this lane.
    pub(crate) fn call_at_once<O: Operation>(
        &mut self,
        operations: &[O],
        lane: &Lane,
        job: impl Fn(&mut store::Tx, Timestamp) -> crate::error::Result<()> + Clone + Send + 'static,
    ) -> Vec<Result<O::Response, Refused>> {
        self.restarts += 1;
        let nodes = [self.service.clone(), self.start()];
        let now = self.clock.now();
        let calls = operations.iter().zip(nodes.iter().cycle()).map(|(operation, node)| {
            let outgoing = operation.encode();
            let asked = (outgoing.method.as_str(), outgoing.path.as_str(), outgoing.query.as_str());
            let request = self.signed("chime", asked, &outgoing.headers, &outgoing.body());
            let (store, job) = (node.store(), job.clone());
            async move {
                let stepping = store.write(lane.clone(), move |tx| job(tx, now));
                let (response, stepped) = futures_util::future::join(node.handle(request), stepping).await;
                stepped.unwrap();
                response
            }
        });
        let responses = futures(futures_util::future::join_all(calls));
        // Each node hands over what it committed; the numbers say in which order.
        self.events.lock().unwrap().sort_by_key(|event| (event.channel, event.sequence));
        responses.iter().map(Self::decoded::<O>).collect()
    }

    /// Who is told of what, by the events alone: the sub-channel and the id of each.
    pub(crate) fn subscriptions(&mut self) -> Vec<(Key, String)> {
        self.take_full_events();
        let (all, instance) = (self.told.subscriptions.clone(), self.instance.clone());
        let named = self.service.store().read(move |tx| {
            let name = |tx: &mut store::Tx, user: Key| {
                Ok::<_, store::Error>(store::identity::get(tx, &instance, user)?.unwrap().arn.id().to_owned())
            };
            all.iter().map(|(place, user, _)| Ok((*place, name(tx, *user)?))).collect()
        });
        let mut named: Vec<_> = futures::<Result<_, store::Error>>(named).unwrap();
        named.sort();
        named
    }

    /// What was emitted since the last call, whole.
    pub(crate) fn take_full_events(&mut self) -> Vec<Event> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        for event in &events {
            self.told.apply(event);
        }
        events
    }

    /// What was emitted since the last call, by type.
    pub(crate) fn take_events(&mut self) -> Vec<&'static str> {
        self.take_full_events().iter().map(|event| event.kind.as_str()).collect()
    }

    /// What the audit log was told since the last call.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records.lock().unwrap())
    }

    /// Who was told of each event since the last call, by their ids.
    pub(crate) fn told(&mut self) -> Vec<Vec<String>> {
        self.told_what().into_iter().map(|(_, who)| who).collect()
    }

    /// What was emitted since the last call, and whom it told.
    pub(crate) fn tell(&mut self) -> Vec<(Event, Vec<Key>)> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        events.into_iter().map(|event| (event.clone(), self.told.apply(&event))).collect()
    }

    /// What was told since the last call, and to whom, by their ids.
    pub(crate) fn told_what(&mut self) -> Vec<(&'static str, Vec<String>)> {
        let (kinds, told): (Vec<_>, Vec<_>) =
            self.tell().into_iter().map(|(event, told)| (event.kind, told)).unzip();
        let instance = self.instance.clone();
        let names = self.service.store().read(move |tx| {
            let mut all = Vec::new();
            for keys in &told {
                let mut ids = Vec::new();
                for key in keys {
                    ids.push(store::identity::get(tx, &instance, *key)?.unwrap().arn.id().to_owned());
                }
                ids.sort();
                all.push(ids);
            }
            Ok::<_, store::Error>(all)
        });
        let told = kinds.into_iter().zip(futures(names).unwrap());
        // Only streams learn of these, and no user.
        let silent = [EventType::CreateSubChannel, EventType::DeleteSubChannel];
        told.filter(|(kind, _)| !silent.contains(kind)).map(|(kind, who)| (kind.as_str(), who)).collect()
    }
}

impl Told {
    /// Who is told of an event, and what it changes for later ones.
    fn apply(&mut self, event: &Event) -> Vec<Key> {
        for change in &event.changes {
            if let Change::Left { member, sub_channel, .. } = change {
                self.subscriptions.retain(|(place, user, _)| (place, user) != (sub_channel, member));
            }
        }
        let audience = &event.audience;
        let subscribed = self.subscriptions.iter().filter(|(place, _, hidden)| {
            audience.sub_channels.contains(place) && !(audience.but_hidden && *hidden)
        });
        let mut told: Vec<Key> = subscribed.map(|(_, user, _)| *user).collect();
        told.extend(&audience.users);
        told.sort();
        told.dedup();
        for change in &event.changes {
            match *change {
                Change::Joined { member, sub_channel, hidden } => {
                    self.subscriptions.push((sub_channel, member, hidden));
                }
                Change::Ended { sub_channel } => {
                    self.subscriptions.retain(|(place, _, _)| *place != sub_channel);
                }
                Change::Gone { user } => self.subscriptions.retain(|(_, who, _)| *who != user),
                Change::Left { .. } => {}
            }
        }
        told
    }
}

const ALL_CODES: [ErrorCode; 10] = [
    ErrorCode::AccessDenied,
    ErrorCode::BadRequest,
    ErrorCode::Conflict,
    ErrorCode::Forbidden,
    ErrorCode::NotFound,
    ErrorCode::ResourceLimitExceeded,
    ErrorCode::ServiceFailure,
    ErrorCode::ServiceUnavailable,
    ErrorCode::Throttled,
    ErrorCode::Unauthorized,
];

/// A text of any checked type.
pub(crate) fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A bot with this name, which a program of the account speaks for.
pub(crate) fn bot_request(world: &World, name: &str) -> CreateAppInstanceBot {
    let lex = LexConfiguration {
        responds_to: None,
        invoked_by: None,
        lex_bot_alias_arn: text("arn:aws:lex:us-east-1:111122223333:bot-alias/ABCDE12345/TSTALIASID"),
        locale_id: text("en_US"),
        welcome_intent: None,
    };
    CreateAppInstanceBot {
        app_instance_arn: world.instance().clone(),
        name: Some(text(name)),
        metadata: None,
        client_request_token: text("bot"),
        tags: None,
        configuration: Configuration { lex },
    }
}

/// A phone of this user, known by this token, which is also the request's.
pub(crate) fn endpoint_request(who: &IdentityArn, token: &str) -> RegisterAppInstanceUserEndpoint {
    let resource = "arn:aws:mobiletargeting:us-east-1:111122223333:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    RegisterAppInstanceUserEndpoint {
        app_instance_user_arn: who.clone(),
        name: Some(text("Phone")),
        kind: EndpointType::Apns,
        resource_arn: text(resource),
        endpoint_attributes: EndpointAttributes { device_token: text(token), voip_device_token: None },
        client_request_token: text(token),
        allow_messages: None,
    }
}

/// A channel with the defaults, made by this user.
pub(crate) fn channel_request(world: &World, who: &IdentityArn) -> CreateChannel {
    CreateChannel {
        app_instance_arn: world.instance().clone(),
        name: text("Lobby"),
        mode: None,
        privacy: None,
        metadata: None,
        client_request_token: text("channel"),
        tags: None,
        chime_bearer: who.clone(),
        channel_id: None,
        member_arns: None,
        moderator_arns: None,
        elastic_channel_configuration: None,
        expiration_settings: None,
    }
}

/// An elastic channel of two sub-channels with two regular members each.
pub(crate) fn elastic_request(world: &World, who: &IdentityArn) -> CreateChannel {
    let elastic_channel_configuration = Some(ElasticChannelConfiguration {
        maximum_sub_channels: 2.try_into().unwrap(),
        target_memberships_per_sub_channel: 2.try_into().unwrap(),
        minimum_membership_percentage: 40.try_into().unwrap(),
    });
    CreateChannel { elastic_channel_configuration, ..channel_request(world, who) }
}

/// A channel flow of one processor.
pub(crate) fn flow_request(world: &World) -> CreateChannelFlow {
    let lambda = LambdaConfiguration {
        resource_arn: text("arn:aws:lambda:us-east-1:111122223333:function:moderate"),
        invocation_type: InvocationType::Async,
    };
    let processor = Processor {
        name: text("Moderate"),
        configuration: ProcessorConfiguration { lambda },
        execution_order: 1.try_into().unwrap(),
        fallback_action: FallbackAction::Abort,
    };
    CreateChannelFlow {
        app_instance_arn: world.instance().clone(),
        processors: vec![processor],
        name: text("Moderation"),
        tags: None,
        client_request_token: text("flow"),
    }
}

/// Gives a channel a flow.
pub(crate) fn association(
    channel: &ChannelArn,
    flow: &ChannelFlowArn,
    who: &IdentityArn,
) -> AssociateChannelFlow {
    AssociateChannelFlow {
        channel_arn: channel.clone(),
        channel_flow_arn: flow.clone(),
        chime_bearer: who.clone(),
    }
}

/// Takes the flow of a channel away.
pub(crate) fn disassociation(
    channel: &ChannelArn,
    flow: &ChannelFlowArn,
    who: &IdentityArn,
) -> DisassociateChannelFlow {
    DisassociateChannelFlow {
        channel_arn: channel.clone(),
        channel_flow_arn: flow.clone(),
        chime_bearer: who.clone(),
    }
}

/// A persistent STANDARD message.
pub(crate) fn message_request(channel: &ChannelArn, who: &IdentityArn, content: &str) -> SendChannelMessage {
    SendChannelMessage {
        channel_arn: channel.clone(),
        content: text(content),
        kind: ChannelMessageType::Standard,
        persistence: ChannelMessagePersistenceType::Persistent,
        metadata: None,
        client_request_token: text("message"),
        chime_bearer: who.clone(),
        push_notification: None,
        message_attributes: None,
        sub_channel_id: None,
        content_type: None,
        target: None,
    }
}

/// What is kept of what the service hands over.
type Kept<T> = Arc<Mutex<Vec<T>>>;

fn service(
    (location, seed): (&Location, u64),
    clock: &Arc<StandingClock>,
    (events, records): (&Kept<Event>, &Kept<Record>),
    (quotas, rates): (Quotas, Rates),
    processors: Processors,
) -> Arc<Service> {
    let kept = events.clone();
    let sink: Sink = Arc::new(move |committed| kept.lock().unwrap().extend(committed.events));
    let ledger = Arc::new(KeptRecords(records.clone()));
    let service = Service::new(Settings {
        store: Arc::new(Store::open(location, START.ms(), &sink).unwrap()),
        home: Home::new(REGION, ACCOUNT),
        clock: clock.clone(),
        random: StdRng::seed_from_u64(seed),
        root: RootCredentials { access_key_id: "ROOT".to_owned(), secret: Secret::new("secret".to_owned()) },
        keys: KeyRing::of(&[7; 32]),
        key_sets: Arc::new(NoKeySets),
        quotas,
        processors,
        patience: Patience::default(),
        functions: Functions::new(vec![format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:*")]),
        rates,
        public_host: "ws.example.test:8443".to_owned(),
        audit: Some(ledger),
    });
    futures(service.refresh_access()).unwrap();
    Arc::new(service)
}

/// Keeps all records, those of what nobody signed too.
struct KeptRecords(Kept<Record>);

impl Ledger for KeptRecords {
    fn place(&self) -> BoxFuture<'static, Option<Place>> {
        let kept = self.0.clone();
        let place: Place = Box::new(move |record| kept.lock().unwrap().push(record));
        Box::pin(std::future::ready(Some(place)))
    }

    fn missed(&self) {
        unreachable!("there is always a place");
    }

    fn takes_unsigned(&self) -> bool {
        true
    }

    fn take_unsigned(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}

/// Reaches no identity provider.
struct NoKeySets;

impl KeySets for NoKeySets {
    fn find<'a>(&'a self, _: &'a KeySource, _: Option<&'a str>) -> Finding<'a> {
        Box::pin(std::future::ready(Err(Unreachable)))
    }
}

/// Waits for a future; the lanes answer from threads of their own.
fn futures<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The newest messages of a channel, as someone lists them.
pub(crate) fn messages_of(channel: &ChannelArn, who: &IdentityArn) -> ListChannelMessages {
    ListChannelMessages {
        channel_arn: channel.clone(),
        sort_order: None,
        not_before: None,
        not_after: None,
        max_results: None,
        next_token: None,
        chime_bearer: who.clone(),
        sub_channel_id: None,
    }
}
