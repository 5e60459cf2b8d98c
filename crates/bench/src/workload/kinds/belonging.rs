//! Lists and searches of people who belong to many channels.

use carillon_model::IdentityArn;
use carillon_model::identity::Identity;
use carillon_model::text::{SearchFieldKey, SearchFieldOperator};
use carillon_service::operations::messaging::list_channel_memberships_for_app_instance_user as memberships;
use carillon_service::operations::messaging::search_channels::SearchChannels;
use carillon_service::shapes::SearchField;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::super::call::{Call, Workload};
use super::super::fill::Plan;
use super::Stage;
use crate::scene::text;
use carillon_server::error::Result;

/// Who belongs to so many channels.
const BUSY: u64 = 8;
/// A page as long as the one of somebody in few channels.
const FEW: i64 = 10;
/// With whom they share them, each about as many.
const OTHERS: u64 = 100;

pub(super) struct Belonging {
    busy: Vec<IdentityArn>,
    others: Vec<IdentityArn>,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<Belonging> {
    let scene = stage.scene().await?;
    let count = usize::try_from(BUSY + OTHERS).unwrap_or_default();
    let people = stage.people(&scene, count).await?;
    let each = stage.size.max(1) as u64;
    let plan = |people: &[Identity]| Sharing { people: people.to_vec(), each };
    stage.fill(&scene, plan, &people).await?;
    let (busy, others) = people.split_at(usize::try_from(BUSY).unwrap_or_default());
    Ok(Belonging { busy: busy.to_vec(), others: others.to_vec() })
}

/// Channels of two: of somebody busy and one of the others, but for the last of each, which the next who is busy
/// shares.
struct Sharing {
    people: Vec<Identity>,
    each: u64,
}

impl Plan for Sharing {
    fn channels(&self) -> u64 {
        BUSY * self.each
    }
    fn people(&self, number: u64) -> Vec<Identity> {
        let (busy, at) = (number % BUSY, number / BUSY);
        let other = if at == self.each - 1 { (busy + 1) % BUSY } else { BUSY + (at + busy) % OTHERS };
        let person = |place: u64| self.people[usize::try_from(place).unwrap_or_default()].clone();
        vec![person(busy), person(other)]
    }
    fn messages_each(&self) -> u64 {
        0
    }
}

impl Workload for Belonging {
    fn kinds(&self) -> &'static [&'static str] {
        &["list", "list 10", "search own", "search own 10", "search pair", "search two busy"]
    }

    fn call(&self, number: u64, random: &mut StdRng) -> Call {
        let kind = usize::try_from(number % 6).unwrap_or_default();
        let at = random.random_range(0..self.busy.len());
        let (busy, next) = (&self.busy[at], &self.busy[(at + 1) % self.busy.len()]);
        let other = &self.others[random.random_range(0..self.others.len())];
        // Who is in few channels has no page longer than that.
        let few = FEW.try_into().ok();
        let list = |max_results| memberships::ListChannelMembershipsForAppInstanceUser {
            app_instance_user_arn: None,
            max_results,
            next_token: None,
            chime_bearer: busy.clone(),
        };
        let own = search(busy, SearchFieldOperator::Includes, &[busy]);
        match kind {
            0 => Call::of(kind, &list(None)),
            1 => Call::of(kind, &list(few)),
            2 => Call::of(kind, &own),
            3 => Call::of(kind, &SearchChannels { max_results: few, ..own }),
            4 => Call::of(kind, &search(busy, SearchFieldOperator::Equals, &[busy, other])),
            _ => Call::of(kind, &search(busy, SearchFieldOperator::Equals, &[busy, next])),
        }
    }
}

fn search(who: &IdentityArn, operator: SearchFieldOperator, members: &[&IdentityArn]) -> SearchChannels {
    let values = members.iter().map(|arn| text(arn.as_str())).collect();
    SearchChannels {
        chime_bearer: Some(who.clone()),
        fields: vec![SearchField { key: SearchFieldKey::Members, values, operator }],
        max_results: None,
        next_token: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::unknown;
    use super::*;

    #[test]
    fn everybody_busy_belongs_to_as_many_channels_and_shares_one_with_the_next() {
        let instance: carillon_model::AppInstanceArn =
            "arn:aws:chime:us-east-1:000000000000:app-instance/00000000-0000-4000-8000-000000000001"
                .parse()
                .unwrap();
        let people: Vec<Identity> =
            (0..BUSY + OTHERS).map(|number| unknown(&instance.user(&format!("member-{number}")))).collect();
        let sharing = Sharing { people: people.clone(), each: 10 };
        let channels: Vec<Vec<Identity>> =
            (0..sharing.channels()).map(|number| sharing.people(number)).collect();
        let of = |who: &Identity| channels.iter().filter(|people| people.contains(who)).count();
        // Their own, and the one that the one before shares.
        assert!(people[..8].iter().all(|who| of(who) == 11));
        let both = |people: &&Vec<Identity>| {
            people.contains(&sharing.people[2]) && people.contains(&sharing.people[3])
        };
        assert_eq!(channels.iter().filter(both).count(), 1);
    }
}
