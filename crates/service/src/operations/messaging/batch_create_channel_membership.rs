//! `BatchCreateChannelMembership`: adds up to a hundred members, each by itself: those who could be added
//! stay, and the answer says why the others could not.

use std::collections::BTreeSet;

use carillon_model::channel::{Channel, Membership};
use carillon_model::event::Event;

use crate::chat::balancing::claim_numbers;
use crate::chat::placement::{Joining, admit_all, moderating, who_adds};
use crate::error::ErrorCode;
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}/memberships?operation=batch-create" => 200, Created)]
#[errors(BadRequest, NotFound, ResourceLimitExceeded)]
#[bearer]
pub struct BatchCreateChannelMembership {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Seen or hidden; seen where nothing is said.
    #[member("Type")]
    pub kind: Option<ChannelMembershipType>,
    /// Who.
    #[length(1, 100)]
    pub member_arns: Vec<IdentityArn>,
    /// The sub-channel, for moderators of an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

/// The answer.
#[shape]
pub struct Created {
    /// Who was added.
    pub batch_channel_memberships: BatchChannelMemberships,
    /// Who was not.
    pub errors: Option<Vec<BatchCreateChannelMembershipError>>,
}

impl Write for BatchCreateChannelMembership {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        let kind = self.kind.unwrap_or(ChannelMembershipType::Default);
        let rule = who_adds(call, kind, &self.member_arns)?;
        let mut view = call.claim_channel(tx, &self.channel_arn, 1, rule)?;
        let elastic = view.channel.elastic.is_some();
        if elastic && kind == ChannelMembershipType::Hidden {
            return Err(Error::bad_request("Type: an elastic channel has no hidden members"));
        }
        let (added, errors) = self.add_all(tx, call, &mut view, kind)?;
        if elastic {
            tell_each(tx, call, &mut view.channel, &added)?;
        } else {
            let moderating = moderating(tx, &view.channel, kind)?;
            let event = Event::batch_create_channel_membership(&view.channel, &added, &moderating);
            event.map_or(Ok(()), |event| tx.emit(event))?;
            for (part, membership) in (1..).zip(&added) {
                tx.record(&Event::one_of_batch(&view.channel, membership), part)?;
            }
        }
        let batch_channel_memberships = BatchChannelMemberships {
            invited_by: Identity::from(&view.caller),
            kind,
            members: added.iter().map(|membership| Identity::from(&membership.member)).collect(),
            channel_arn: self.channel_arn.clone(),
            sub_channel_id: self.sub_channel_id.clone(),
        };
        Ok(Created { batch_channel_memberships, errors: Some(errors).filter(|errors| !errors.is_empty()) })
    }
}

impl BatchCreateChannelMembership {
    fn add_all(
        &self,
        tx: &mut Tx,
        call: &Call,
        view: &mut View,
        kind: ChannelMembershipType,
    ) -> Result<(Vec<Membership>, Vec<BatchCreateChannelMembershipError>)> {
        let named = self.sub_channel_id.as_ref();
        let instance = self.channel_arn.app_instance();
        let own: Vec<_> = self.member_arns.iter().filter(|arn| arn.app_instance() == instance).collect();
        let candidates = call.candidates(tx, &view.channel, named, own)?;
        let mut seen = BTreeSet::new();
        let each: Vec<_> = self.member_arns.iter().filter(|arn| seen.insert(*arn)).collect();
        let known: Vec<_> = each.iter().filter_map(|arn| candidates.get(*arn).cloned()).collect();
        let joining = Joining { invited_by: &view.caller, kind, sub_channel: named, together: &[] };
        let mut admitted = admit_all(tx, call, &mut view.channel, &known, &joining)?.into_iter();
        let (mut added, mut errors) = (Vec::new(), Vec::new());
        for arn in each {
            let outcome = if arn.app_instance() != instance {
                Err(Error::bad_request("The ARN is of another app instance"))
            } else if candidates.contains_key(arn) {
                admitted.next().unwrap_or_else(|| Err(not_there()))
            } else {
                Err(not_there())
            };
            match outcome {
                Ok(membership) => added.push(membership),
                Err(error) => errors.push(entry(arn, error)?),
            }
        }
        Ok((added, errors))
    }
}

/// The members of an elastic channel are told of each newcomer in its own sub-channel.
fn tell_each(tx: &mut Tx, call: &Call, channel: &mut Channel, added: &[Membership]) -> Result<()> {
    claim_numbers(tx, channel, added.len(), call.now)?;
    for membership in added {
        channel.sequence += 1;
        tx.emit(Event::create_channel_membership(channel, membership, &[]))?;
    }
    Ok(())
}

fn not_there() -> Error {
    Error::not_found("The user or bot does not exist")
}

/// What is wrong with one entry; a failure of the service fails the call.
fn entry(member_arn: &IdentityArn, error: Error) -> Result<BatchCreateChannelMembershipError> {
    let error_code = match error.code {
        ErrorCode::BadRequest => BatchErrorCode::BadRequest,
        ErrorCode::Conflict => BatchErrorCode::Conflict,
        ErrorCode::Forbidden => BatchErrorCode::Forbidden,
        ErrorCode::NotFound => BatchErrorCode::NotFound,
        ErrorCode::ResourceLimitExceeded => BatchErrorCode::ResourceLimitExceeded,
        _ => return Err(error),
    };
    Ok(BatchCreateChannelMembershipError {
        member_arn: member_arn.clone(),
        error_code,
        error_message: Some(ErrorMessage::stored(error.message.into_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn add(channel: &ChannelArn, by: &IdentityArn, members: &[&IdentityArn]) -> BatchCreateChannelMembership {
        BatchCreateChannelMembership {
            channel_arn: channel.clone(),
            kind: None,
            member_arns: members.iter().copied().cloned().collect(),
            chime_bearer: by.clone(),
            sub_channel_id: None,
        }
    }

    fn codes(created: &Created) -> Vec<(&str, BatchErrorCode)> {
        let errors = created.errors.iter().flatten();
        errors.map(|error| (error.member_arn.id(), error.error_code)).collect()
    }

    #[engine_test]
    fn each_is_added_by_itself_and_one_event_tells_of_those_who_were(world: &mut World) {
        let (ana, bob, cy, dora) =
            (world.user("ana"), world.user("bob"), world.user("cy"), world.user("dora"));
        let stranger = world.stranger("eve");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.ban(&channel, &ana, &dora);
        world.take_events();
        let nobody = world.instance().user("nobody");
        let batch = add(&channel, &ana, &[&ana, &bob, &nobody, &bob, &dora, &stranger, &cy]);
        let created = world.call(&batch).unwrap();
        let expected = [
            ("ana", BatchErrorCode::Conflict),
            ("nobody", BatchErrorCode::NotFound),
            ("dora", BatchErrorCode::Forbidden),
            ("eve", BatchErrorCode::BadRequest),
        ];
        assert_eq!(codes(&created), expected);
        let batch = created.batch_channel_memberships;
        let members: Vec<_> = batch.members.iter().map(|member| member.arn.clone()).collect();
        assert_eq!((members, batch.invited_by.arn), (vec![bob.clone(), cy.clone()], ana.clone()));
        let event = world.take_full_events().remove(0);
        assert_eq!(event.kind.as_str(), "BATCH_CREATE_CHANNEL_MEMBERSHIP");
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        let expected = serde_json::json!({
            "InvitedBy": { "Arn": ana.as_str(), "Name": "Ana" },
            "Type": "DEFAULT",
            "Members": [
                { "Arn": bob.as_str(), "Name": "Bob" },
                { "Arn": cy.as_str(), "Name": "Cy" },
            ],
            "ChannelArn": channel.as_str(),
        });
        assert_eq!(payload, expected);
        world.send(&channel, &ana, "hello");
        assert_eq!(world.told(), [vec!["ana", "bob", "cy"]]);
        assert_eq!(world.members(&channel, &bob), ["ana", "bob", "cy"]);
    }

    #[engine_test]
    fn who_may_not_add_adds_nobody_and_nobody_added_is_no_event(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Public);
        assert_eq!(world.call(&add(&channel, &bob, &[&bob, &cy])).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.call(&add(&channel, &bob, &[&bob])).is_ok(), "oneself, alone");
        world.take_events();
        let created = world.call(&add(&channel, &bob, &[&ana, &bob])).unwrap();
        assert_eq!(codes(&created).len(), 2);
        assert!(world.take_events().is_empty());
        let many: Vec<_> = std::iter::repeat_n(&cy, 101).collect();
        assert_eq!(world.call(&add(&channel, &ana, &many)).unwrap_err().code, ErrorCode::BadRequest);
        assert_eq!(world.call(&add(&channel, &ana, &[])).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn hidden_members_come_unseen_and_the_quota_stops_the_rest(world: &mut World) {
        world.set_quotas(|quotas| quotas.channel_memberships_max = 3);
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let (ghost, shade) = (world.user("ghost"), world.user("shade"));
        let channel = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.take_events();
        let hidden = BatchCreateChannelMembership {
            kind: Some(ChannelMembershipType::Hidden),
            ..add(&channel, &bob, &[&ghost, &shade])
        };
        assert_eq!(world.call(&hidden).unwrap_err().code, ErrorCode::Forbidden);
        let hidden = BatchCreateChannelMembership { chime_bearer: ana.clone(), ..hidden };
        let created = world.call(&hidden).unwrap();
        assert_eq!(codes(&created), [("shade", BatchErrorCode::ResourceLimitExceeded)]);
        assert_eq!(world.told(), [vec!["ana", "ghost"]]);
    }

    #[engine_test]
    fn newcomers_of_an_elastic_channel_are_told_of_one_by_one(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let [b, c, d] = ["b", "c", "d"].map(|name| world.user(name));
        let created = world.call(&add(&channel, &ana, &[&b, &ana, &c, &d])).unwrap();
        assert_eq!(codes(&created), [("ana", BatchErrorCode::BadRequest)], "a moderator names a place");
        assert_eq!(world.told(), [vec!["b"], vec!["b", "c"], vec!["d"]]);
    }
}
