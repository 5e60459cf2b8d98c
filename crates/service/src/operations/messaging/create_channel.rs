//! `CreateChannel`: makes a channel. Its creator becomes a member and a moderator; of an elastic channel, a
//! moderator only. All or nothing: one bad ARN in the lists fails the call.

use std::collections::BTreeMap;

use carillon_model::Timestamp;
use carillon_model::channel::{Appointment, Channel as StoredChannel};
use carillon_model::event::{ChannelShown, Event};
use carillon_store::app_instance::Counts;
use carillon_store::identity::Found;
use carillon_store::membership::Candidate;

use crate::chat::channel::instance_key;
use crate::chat::placement::{Joining, join};
use crate::once::{Once, once};
use crate::prelude::*;
use crate::quotas::ELASTIC_MEMBERS_MAX;

/// The request.
#[operation(POST "/channels" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
#[bearer]
pub struct CreateChannel {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Who may add members; only moderators where nothing is said.
    pub mode: Option<ChannelMode>,
    /// Who may read it; its members where nothing is said. It can never change.
    pub privacy: Option<ChannelPrivacy>,
    /// What the application writes on it.
    pub metadata: Option<Metadata>,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
    /// Its tags.
    #[length(1, 50)]
    pub tags: Option<Vec<Tag>>,
    /// The last part of the ARN to be; random where nothing is said.
    pub channel_id: Option<ChannelId>,
    /// Its first members, beside the creator.
    #[length(1, 10)]
    pub member_arns: Option<Vec<IdentityArn>>,
    /// Its first moderators, beside the creator.
    #[length(1, 10)]
    pub moderator_arns: Option<Vec<IdentityArn>>,
    /// How it is split, if it is elastic.
    pub elastic_channel_configuration: Option<ElasticChannelConfiguration>,
    /// When it goes away by itself.
    pub expiration_settings: Option<ExpirationSettings>,
}

/// The answer.
#[shape]
pub struct Created {
    /// Its ARN.
    pub channel_arn: ChannelArn,
}

impl Write for CreateChannel {
    fn lane(&self) -> Lane {
        Lane::instance(&self.app_instance_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        crate::tags::check(self.tags.as_deref())?;
        self.check_elastic(call)?;
        let creator = call.bearer_of(tx, &self.app_instance_arn)?;
        let token = (creator.identity.key, &self.client_request_token);
        let keep = |arn: &ChannelArn| arn.as_str().to_owned();
        let channel_arn = match once(tx, call, self, token, keep, |tx| self.create(tx, call, &creator))? {
            Once::First(arn) => arn,
            Once::Earlier(kept) => kept.parse().map_err(|_| crate::once::unreadable(Self::NAME))?,
        };
        Ok(Created { channel_arn })
    }
}

/// Streams are told of the channel before anything that happens in it.
fn record_channel(tx: &mut Tx, channel: &StoredChannel, creator: &Found) -> Result<()> {
    let first = StoredChannel { sequence: 0, ..channel.clone() };
    let shown = ChannelShown { created_by: creator.identity.clone(), flow: None };
    Ok(tx.record(&Event::create_channel(&first, &shown), 1)?)
}

/// Streams are told of each moderator after the members.
fn record_moderators(
    tx: &mut Tx,
    channel: &StoredChannel,
    creator: &Found,
    moderators: &[Found],
) -> Result<()> {
    for (part, moderator) in (1..).zip(moderators) {
        let (member, created_by) = (moderator.identity.clone(), creator.identity.clone());
        let appointment = Appointment { member, created_by, created_at: channel.created_at };
        tx.record(&Event::create_channel_moderator(channel, &appointment), part)?;
    }
    Ok(())
}

impl CreateChannel {
    fn check_elastic(&self, call: &Call) -> Result<()> {
        let Some(elastic) = &self.elastic_channel_configuration else { return Ok(()) };
        if self.mode == Some(ChannelMode::Unrestricted) {
            return Err(Error::bad_request("Mode: an elastic channel is RESTRICTED"));
        }
        if self.member_arns.is_some() {
            return Err(Error::bad_request("MemberArns: must be absent for an elastic channel"));
        }
        let sub_channels = elastic.maximum_sub_channels.get();
        let target = elastic.target_memberships_per_sub_channel.get();
        if ELASTIC_MEMBERS_MAX < sub_channels.saturating_mul(target) {
            return Err(Error::bad_request(format!(
                "ElasticChannelConfiguration: MaximumSubChannels times TargetMembershipsPerSubChannel must be at \
                 most {ELASTIC_MEMBERS_MAX}"
            )));
        }
        let quotas = &call.surroundings.quotas;
        if quotas.sub_channels_max < sub_channels {
            return Err(Error::limit_exceeded("sub-channels of an elastic channel", quotas.sub_channels_max));
        }
        if quotas.sub_channel_memberships_max < target {
            return Err(Error::limit_exceeded(
                "memberships of a sub-channel",
                quotas.sub_channel_memberships_max,
            ));
        }
        Ok(())
    }

    fn create(&self, tx: &mut Tx, call: &Call, creator: &Found) -> Result<ChannelArn> {
        let members = match self.elastic_channel_configuration {
            None => self.resolve(tx, call, creator, self.member_arns.as_deref())?,
            Some(_) => Vec::new(),
        };
        let moderators = self.resolve(tx, call, creator, self.moderator_arns.as_deref())?;
        let instance = self.grow_instance(tx, call)?;
        let mut channel = self.channel(call, creator, tx.instant(call.now));
        // The numbers of the first events are taken with the row.
        let events = if channel.elastic.is_some() { 1 } else { members.len() };
        channel.sequence = i64::try_from(events).expect("at most eleven");
        if !store::channel::insert(tx, instance, &channel)? {
            return Err(Error::conflict("ChannelId: a channel with this id exists"));
        }
        for moderator in &moderators {
            let (moderator, by) = (moderator.identity.key, creator.identity.key);
            store::identity::hold(tx, moderator)?;
            store::moderator::insert(tx, channel.key, moderator, by, call.now)?;
        }
        record_channel(tx, &channel, creator)?;
        if channel.elastic.is_some() {
            let first = call.new_key();
            store::sub_channel::insert(tx, channel.key, first, None, call.now)?;
            tx.emit(Event::create_sub_channel(&channel, first))?;
        }
        if channel.elastic.is_none() {
            channel.sequence = 0;
        }
        let together: Vec<Key> = members.iter().map(|member| member.identity.key).collect();
        for member in &members {
            channel.sequence += 1;
            let kind = ChannelMembershipType::Default;
            let invited_by = &creator.identity;
            let joining = Joining { invited_by, kind, sub_channel: None, together: &together };
            // Nobody is anything in a channel that is just being made.
            let candidate =
                Candidate { found: member.clone(), is_moderator: false, is_banned: false, is_member: false };
            join(tx, call, &mut channel, &candidate, &joining)?;
        }
        record_moderators(tx, &channel, creator, &moderators)?;
        crate::tags::set(tx, channel.arn.as_str(), self.tags.as_deref())?;
        Ok(channel.arn)
    }

    /// The creator and those named, each once.
    fn resolve(
        &self,
        tx: &mut Tx,
        call: &Call,
        creator: &Found,
        arns: Option<&[IdentityArn]>,
    ) -> Result<Vec<Found>> {
        let mut found = BTreeMap::from([(creator.identity.key, creator.clone())]);
        for arn in arns.unwrap_or_default() {
            let member = call.identity(tx, arn, &self.app_instance_arn)?;
            found.insert(member.identity.key, member);
        }
        Ok(found.into_values().collect())
    }

    fn grow_instance(&self, tx: &mut Tx, call: &Call) -> Result<Key> {
        let instance = instance_key(&self.app_instance_arn)?;
        let counts = store::app_instance::find_counts(tx, instance)?;
        let counts = counts.ok_or_else(|| Error::forbidden("The app instance does not exist"))?;
        let elastic_channels = i64::from(self.elastic_channel_configuration.is_some());
        let quotas = &call.surroundings.quotas;
        if quotas.channels_max <= counts.channels {
            return Err(Error::limit_exceeded("channels of an app instance", quotas.channels_max));
        }
        if quotas.elastic_channels_max < counts.elastic_channels + elastic_channels {
            return Err(Error::limit_exceeded(
                "elastic channels of an app instance",
                quotas.elastic_channels_max,
            ));
        }
        let (channels, most) = (quotas.channels_max, quotas.elastic_channels_max);
        let by = Counts { channels: 1, elastic_channels, ..Counts::default() };
        // Where none is added, none is too many: the quota may have been lowered.
        let elastic_most = if elastic_channels == 0 { i64::MAX } else { most };
        let most = Counts { channels, elastic_channels: elastic_most, ..Counts::MAX };
        store::app_instance::grow(tx, instance, by, most)?;
        Ok(instance)
    }

    fn channel(&self, call: &Call, creator: &Found, clock: Timestamp) -> StoredChannel {
        let key = call.new_key();
        let id = self.channel_id.as_ref().map_or_else(|| key.uuid(), |id| id.as_str().to_owned());
        let expiration = self.expiration_settings.as_ref();
        StoredChannel {
            key,
            arn: self.app_instance_arn.channel(&id),
            name: self.name.clone(),
            mode: self.mode.unwrap_or(ChannelMode::Restricted),
            privacy: self.privacy.unwrap_or(ChannelPrivacy::Private),
            metadata: shown(self.metadata.clone()),
            created_by: creator.identity.key,
            created_at: call.now,
            updated_at: call.now,
            last_message_at: None,
            sequence: 0,
            clock,
            member_count: 0,
            elastic: self.elastic_channel_configuration.as_ref().map(Into::into),
            expiration: expiration.map(|settings| (settings.expiration_days, settings.expiration_criterion)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_channel::DescribeChannel;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_channel_has_its_creator_as_member_and_whoever_was_named(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let mut create = channel_request(world, &ana);
        create.member_arns = Some(vec![bob.clone(), ana.clone(), bob.clone()]);
        create.moderator_arns = Some(vec![cy.clone()]);
        create.metadata = Some(text(""));
        let channel_arn = world.call(&create).unwrap().channel_arn;
        assert_eq!(world.told(), [vec!["ana", "bob"], vec!["ana", "bob"]], "each is told of both");
        for who in [&ana, &bob, &cy] {
            let describe = DescribeChannel { channel_arn: channel_arn.clone(), chime_bearer: who.clone() };
            let channel = world.call(&describe).unwrap().channel;
            assert_eq!(channel.created_by.unwrap().arn, ana);
            assert_eq!((channel.mode, channel.privacy), (ChannelMode::Restricted, ChannelPrivacy::Private));
            assert_eq!((channel.metadata, channel.last_message_timestamp), (None, None));
        }
        assert_eq!(world.members(&channel_arn, &ana), [ana.clone(), bob].map(|arn| arn.id().to_owned()));
    }

    #[engine_test]
    fn a_bad_arn_in_a_list_makes_nothing(world: &mut World) {
        let ana = world.user("ana");
        let mut create = channel_request(world, &ana);
        create.channel_id = Some(text("lobby"));
        create.member_arns = Some(vec![world.instance().user("nobody")]);
        assert_eq!(world.call(&create).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.take_events().is_empty());
        create.member_arns = None;
        assert_eq!(world.call(&create).unwrap().channel_arn.id(), "lobby");
    }

    #[engine_test]
    fn an_id_is_taken_once_and_a_token_answers_again(world: &mut World) {
        let ana = world.user("ana");
        let mut create = channel_request(world, &ana);
        create.channel_id = Some(text("lobby"));
        let first = world.call(&create).unwrap();
        world.take_events();
        assert_eq!(world.call(&create).unwrap(), first);
        assert!(world.take_events().is_empty());
        create.client_request_token = text("another");
        assert_eq!(world.call(&create).unwrap_err().code, ErrorCode::Conflict);
    }

    #[engine_test]
    fn what_an_elastic_channel_cannot_have_is_refused(world: &mut World) {
        let ana = world.user("ana");
        let good = elastic_request(world, &ana);
        let refused = |world: &mut World, change: fn(&mut CreateChannel)| {
            let mut create = good.clone();
            change(&mut create);
            world.call(&create).unwrap_err().code
        };
        let code = refused(world, |create| create.mode = Some(ChannelMode::Unrestricted));
        assert_eq!(code, ErrorCode::BadRequest);
        let code = refused(world, |create| create.member_arns = Some(vec![create.chime_bearer.clone()]));
        assert_eq!(code, ErrorCode::BadRequest);
        let code = refused(world, |create| {
            let elastic = create.elastic_channel_configuration.as_mut().unwrap();
            elastic.maximum_sub_channels = 1_001.try_into().unwrap();
            elastic.target_memberships_per_sub_channel = 1_000.try_into().unwrap();
        });
        assert_eq!(code, ErrorCode::BadRequest);
        let code = refused(world, |create| {
            create.elastic_channel_configuration.as_mut().unwrap().maximum_sub_channels =
                101.try_into().unwrap();
        });
        assert_eq!(code, ErrorCode::ResourceLimitExceeded);
        assert!(world.call(&good).is_ok());
        assert_eq!(world.take_events(), ["CREATE_SUB_CHANNEL"], "its creator is no member");
        let second = CreateChannel { client_request_token: text("second"), ..good.clone() };
        assert_eq!(world.call(&second).unwrap_err().code, ErrorCode::ResourceLimitExceeded);
    }
}
