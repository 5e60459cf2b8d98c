//! One call of an operation: who makes it, when, and what it may look at.
//!
//! A call has one instant and its own randomness. The channels that it sees, it sees for a purpose: there is
//! no way to get one without the rule that admits the caller.

mod randomness;
pub mod rule;
mod sieved;
mod surroundings;

pub(crate) use surroundings::Surroundings;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_access::Sieve;
use carillon_model::arn::IdentityKind;
use carillon_model::channel::Channel;
use carillon_model::identity::Identity;
use carillon_model::text::{ChannelMembershipType, SubChannelId};
use carillon_model::{AppInstanceArn, ChannelArn, ChannelFlowArn, IdentityArn, Key, Timestamp};
use carillon_store::app_instance::Retention;
use carillon_store::claim::Claim;
use carillon_store::identity::Found;
use carillon_store::membership::Candidate;
use carillon_store::standing::{Place, Standing};
use carillon_store::{self as store, Look, Tx};

use crate::error::{Error, Result};
use randomness::{Randomness, Seed};
use rule::{Grant, Rule};

pub(crate) const INVALID_BEARER: &str =
    "An invalid app instance user ARN was supplied for the x-amz-chime-bearer header";
/// Whom a sub-channel is for.
pub(crate) const OWN_SUB_CHANNEL: &str = "it is for members of the sub-channel and, to read, whoever moderates the \
                                          channel; or the sub-channel does not exist";
const INVALID_PARAMETER: &str = "An invalid app instance user ARN was supplied for the input parameter";

/// One call.
pub struct Call {
    /// The instant of the call, by the service's clock.
    pub now: Timestamp,
    /// Whom the signature names: the root access key, or the ARN of a user or of a session.
    pub principal: String,
    /// Who acts, where the operation has a bearer.
    bearer: Option<IdentityArn>,
    /// The operation's name.
    pub operation: &'static str,
    pub(crate) surroundings: Arc<Surroundings>,
    random: RefCell<Randomness>,
    /// Of what is asked, where that is compared with what was asked before.
    digest: OnceCell<[u8; 32]>,
    /// The only user that the credentials may be, where they were exchanged: an ARN can become another's.
    bound_to: Option<Key>,
    /// What it costs, where there are rates.
    due: Option<Box<dyn Due>>,
    /// What it went by as it arrived.
    went_by: Option<Key>,
    /// What policies say of each channel, where they tell some of those that it may show from others.
    sieve: Option<Sieve>,
}

/// Whoever wants to know how far a call comes: it is charged by that, or explained. A transaction may run again; its
/// call counts once.
pub(crate) trait Due: Send {
    /// Charges a caller whom policy admitted.
    fn admit(&self) -> Result<()>;
    /// Charges the channel, for a caller whom its rule admitted, by this grant.
    fn pay_channel(&self, view: &View, grant: Grant) -> Result<()>;
    /// The message that it sends or edits enters this flow.
    fn enter_flow(&self, _flow: &ChannelFlowArn) {}
}

/// A channel, seen by someone whom a rule admitted.
#[derive(Debug, Clone)]
pub struct View {
    /// Who looks.
    pub caller: Identity,
    /// Whether they administer the app instance.
    pub is_admin: bool,
    /// Whether they moderate the channel.
    pub is_moderator: bool,
    /// Where and how they belong to the channel.
    pub memberships: Vec<Place>,
    /// The channel.
    pub channel: Channel,
    /// The key of the flow that its messages pass.
    pub flow: Option<Key>,
    /// How long its messages are kept, where not for ever.
    pub retention: Option<Retention>,
}

impl View {
    /// Whether the caller belongs to the channel, and is not hidden.
    pub fn is_member(&self) -> bool {
        self.memberships.iter().any(|place| place.kind == ChannelMembershipType::Default)
    }

    /// Whether the caller may see hidden members, and every sub-channel.
    pub fn is_moderating(&self) -> bool {
        self.is_admin || self.is_moderator
    }

    /// Whether the caller belongs to this sub-channel.
    pub fn belongs_to(&self, sub_channel: Key) -> bool {
        self.memberships.iter().any(|place| place.sub_channel == sub_channel)
    }

    /// The last message that the caller can see.
    pub fn last_message_at(&self) -> Option<Timestamp> {
        let targeted = self.memberships.iter().filter_map(|place| place.last_target_at).max();
        self.channel.last_message_at.max(targeted)
    }

    /// The sub-channel that a request names: required for an elastic channel, refused for any other, whose
    /// only sub-channel is itself.
    pub fn sub_channel(&self, named: Option<&SubChannelId>) -> Result<Key> {
        match (self.channel.elastic, named) {
            (None, None) => Ok(self.channel.key),
            (None, Some(_)) => Err(Error::bad_request("SubChannelId: the channel is not elastic")),
            (Some(_), None) => Err(Error::bad_request("SubChannelId: is required in an elastic channel")),
            (Some(_), Some(id)) => {
                Key::from_hex(id.as_str()).ok_or_else(|| Error::forbidden("The sub-channel does not exist"))
            }
        }
    }

    /// The sub-channel that a request wants to read: the caller's own, or for who moderates, any of the channel.
    pub fn readable_sub_channel(
        &self,
        tx: &mut Tx,
        call: &Call,
        named: Option<&SubChannelId>,
    ) -> Result<Key> {
        let key = self.sub_channel(named)?;
        if self.channel.elastic.is_none() || self.belongs_to(key) {
            return Ok(key);
        }
        if self.is_moderating() && store::sub_channel::exists(tx, self.channel.key, key)? {
            return Ok(key);
        }
        Err(Error::not_admitted(call.operation, OWN_SUB_CHANNEL))
    }
}

impl Call {
    pub(crate) fn new(
        operation: &'static str,
        bearer: Option<IdentityArn>,
        surroundings: Arc<Surroundings>,
        principal: String,
        seed: Seed,
    ) -> Self {
        let now = surroundings.clock.now();
        let random = RefCell::new(Randomness::Seed(seed));
        Self {
            now,
            principal,
            bearer,
            operation,
            surroundings,
            random,
            digest: OnceCell::new(),
            bound_to: None,
            due: None,
            went_by: None,
            sieve: None,
        }
    }

    /// The call, which is still to be charged.
    pub(crate) fn owing(self, due: Option<Box<dyn Due>>) -> Self {
        Self { due, ..self }
    }

    /// It found this as it arrived.
    pub(crate) fn go_by(&mut self, found: Option<Key>) {
        self.went_by = found;
    }

    /// What it went by as it arrived ([`crate::operation::Write::GOES_BY`]).
    pub fn went_by(&self) -> Option<Key> {
        self.went_by
    }

    /// The call, with credentials that may be this user only.
    pub(crate) fn bound_to(self, user: Option<Key>) -> Self {
        Self { bound_to: user, ..self }
    }

    /// Refuses credentials whose user is gone, where no bearer is looked up that would show it.
    pub(crate) fn check_user(&self, tx: &mut Tx) -> Result<()> {
        match self.bound_to {
            Some(user) if self.bearer.is_none() && !store::identity::exists(tx, user)? => Err(gone()),
            _ => Ok(()),
        }
    }

    fn check_bearer(&self, bearer: &Identity) -> Result<()> {
        if self.bound_to.is_some_and(|user| user != bearer.key) { Err(gone()) } else { Ok(()) }
    }

    /// Charges the call: policy has admitted its caller.
    pub(crate) fn admit(&self) -> Result<()> {
        self.due.as_ref().map_or(Ok(()), |due| due.admit())
    }

    /// The message enters a flow.
    pub(crate) fn enter_flow(&self, flow: &ChannelFlowArn) {
        if let Some(due) = &self.due {
            due.enter_flow(flow);
        }
    }

    /// The digest of what is asked, which is written for it the first time.
    pub(crate) fn digest(&self, asked: impl FnOnce() -> Vec<u8>) -> [u8; 32] {
        *self
            .digest
            .get_or_init(|| digest(&SHA256, &asked()).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// A new key.
    pub fn new_key(&self) -> Key {
        Key::random(self.random())
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        self.random.borrow_mut().take()
    }

    /// Who acts, by the header.
    pub fn bearer_arn(&self) -> Result<&IdentityArn> {
        self.bearer.as_ref().ok_or_else(|| Error::unauthorized("The x-amz-chime-bearer header is missing"))
    }

    /// Who acts: a user or bot that exists.
    pub fn bearer(&self, tx: &mut Tx) -> Result<Found> {
        let found = store::identity::find(tx, self.owned_bearer()?)?;
        let found = found.ok_or_else(|| Error::unauthorized(INVALID_BEARER))?;
        self.check_bearer(&found.identity)?;
        Ok(found)
    }

    fn owned_bearer(&self) -> Result<&IdentityArn> {
        let bearer = self.bearer_arn()?;
        if self.surroundings.home.owns(bearer.as_str()) {
            Ok(bearer)
        } else {
            Err(Error::unauthorized(INVALID_BEARER))
        }
    }

    /// Who acts, where they belong to this app instance.
    pub fn bearer_of(&self, tx: &mut Tx, instance: &AppInstanceArn) -> Result<Found> {
        let found = self.bearer(tx)?;
        if found.identity.arn.app_instance() != *instance {
            return Err(Error::not_admitted(self.operation, "the bearer belongs to another app instance"));
        }
        Ok(found)
    }

    /// The key of an app instance that exists. For everyone else it is as missing as one of another account.
    pub fn app_instance(&self, tx: &mut Tx, arn: &AppInstanceArn) -> Result<Key> {
        let key = arn.key().filter(|_| self.surroundings.home.owns(arn.as_str()));
        match key {
            Some(key) if store::app_instance::exists(tx, key)? => Ok(key),
            _ => Err(Error::forbidden("The app instance does not exist")),
        }
    }

    /// The user that a path names.
    pub fn user(&self, tx: &mut Tx, member: &str, arn: &IdentityArn) -> Result<Identity> {
        only_user(member, arn)?;
        let found =
            if self.surroundings.home.owns(arn.as_str()) { store::identity::find(tx, arn)? } else { None };
        found.map(|found| found.identity).ok_or_else(|| Error::forbidden("The user does not exist"))
    }

    /// A user or bot that a parameter names, of this app instance.
    pub fn identity(&self, tx: &mut Tx, arn: &IdentityArn, instance: &AppInstanceArn) -> Result<Found> {
        self.find_identity(tx, arn, instance)?.ok_or_else(|| Error::forbidden(INVALID_PARAMETER))
    }

    /// A user or bot that a parameter names; of another app instance, the parameter is wrong.
    pub fn find_identity(
        &self,
        tx: &mut Tx,
        arn: &IdentityArn,
        instance: &AppInstanceArn,
    ) -> Result<Option<Found>> {
        if arn.app_instance() != *instance {
            return Err(Error::bad_request("The ARN is of another app instance"));
        }
        Ok(store::identity::find(tx, arn)?)
    }

    /// Those who are to be added to a claimed channel and exist, however many, by their ARNs.
    pub fn candidates<'a>(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        named: Option<&SubChannelId>,
        arns: impl IntoIterator<Item = &'a IdentityArn>,
    ) -> Result<BTreeMap<IdentityArn, Candidate>> {
        let mut of_kind: BTreeMap<&str, BTreeSet<&IdentityArn>> = BTreeMap::new();
        for arn in arns {
            if arn.app_instance() != channel.arn.app_instance() {
                return Err(Error::bad_request("The ARN is of another app instance"));
            }
            of_kind.entry(arn.kind().segment()).or_default().insert(arn);
        }
        // The only place of an ordinary channel is itself.
        let named = match channel.elastic {
            None => Some(channel.key),
            Some(_) => named.and_then(|id| Key::from_hex(id.as_str())),
        };
        let mut found = BTreeMap::new();
        for arns in of_kind.into_values() {
            let arns: Vec<_> = arns.into_iter().collect();
            for candidate in store::membership::find_candidates(tx, channel.key, named, &arns)? {
                found.insert(candidate.found.identity.arn.clone(), candidate);
            }
        }
        Ok(found)
    }

    /// What [`Self::view_channel`] will look at, for whoever looks ahead.
    pub fn look(&self, arn: &ChannelArn) -> Option<Look> {
        self.owned_bearer().ok().map(|bearer| Look::standing(bearer, arn))
    }

    /// The channel, for a caller whom the rule admits.
    pub fn view_channel(&self, tx: &mut Tx, arn: &ChannelArn, rule: Rule) -> Result<View> {
        let standing = store::standing::find(tx, self.owned_bearer()?, arn)?;
        let Some(Standing {
            identity: caller,
            is_admin,
            is_moderator,
            memberships,
            channel,
            flow,
            retention,
        }) = standing
        else {
            return Err(Error::unauthorized(INVALID_BEARER));
        };
        self.check_bearer(&caller)?;
        let foreign = caller.arn.app_instance() != arn.app_instance();
        let Some(channel) = channel.filter(|_| !foreign) else {
            return Err(self.not_admitted(rule));
        };
        let view = View { caller, is_admin, is_moderator, memberships, channel, flow, retention };
        let Some(grant) = rule.admitting(&view) else {
            return Err(self.not_admitted(rule));
        };
        self.due.as_ref().map_or(Ok(()), |due| due.pay_channel(&view, grant))?;
        Ok(view)
    }

    /// A channel that is not there is refused as one that the bearer may not see.
    fn not_admitted(&self, rule: Rule) -> Error {
        Error::not_admitted(self.operation, format_args!("it is for {rule}; or the channel does not exist"))
    }

    /// The channel, claimed for as many events as the operation is about to emit.
    pub fn claim_channel(&self, tx: &mut Tx, arn: &ChannelArn, events: i64, rule: Rule) -> Result<View> {
        let view = self.view_channel(tx, arn, rule)?;
        self.claim(tx, view, Claim::of(events), rule)
    }

    /// Claims a channel that was looked at. A refused caller never holds the channel up; where something
    /// happened in between, it is looked at again, now holding the claim.
    pub fn claim(&self, tx: &mut Tx, mut view: View, claim: Claim, rule: Rule) -> Result<View> {
        if !store::claim::take(tx, &mut view.channel, claim, self.now)? {
            let arn = view.channel.arn;
            view = self.view_channel(tx, &arn, rule)?;
        }
        Ok(view)
    }
}

/// The user that credentials were exchanged for is no more, whoever has its ARN now.
pub(crate) fn gone() -> Error {
    Error::unauthorized("The user whom the credentials are of was deleted")
}

/// Refuses the ARN of a bot where a user's is meant.
pub(crate) fn only_user(member: &str, arn: &IdentityArn) -> Result<()> {
    match arn.kind() {
        IdentityKind::User => Ok(()),
        IdentityKind::Bot => {
            Err(Error::bad_request(format!("{member}: must be the ARN of an app instance user")))
        }
    }
}
