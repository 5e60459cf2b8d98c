//! `SearchChannels`: the channels that certain people share; one's own, or for administrators, all.

use std::collections::BTreeSet;

use carillon_model::channel::Channel as StoredChannel;
use carillon_store::identity::Found;

use crate::operation::check_length;
use crate::prelude::*;

/// The request.
#[operation(POST "/channels?operation=search" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
pub struct SearchChannels {
    /// Who acts. The interface lets it be absent; the documentation does not.
    #[header("x-amz-chime-bearer")]
    pub chime_bearer: Option<IdentityArn>,
    /// What a channel must be like, all of it.
    #[length(1, 20)]
    pub fields: Vec<SearchField>,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The channels.
    pub channels: Vec<ChannelSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// How many look-ups one page may cost. A page that was cut short by it goes on with its token.
const SEEKS_MAX: usize = 2_000;

impl Read for SearchChannels {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let arns = self.arns()?;
        let bearer = call.bearer(tx)?;
        let (page, from) = Page::of(self, call)?;
        let from = from.unwrap_or(Key([0; 16]));
        let Some(sought) = Sought::find(tx, call, &bearer, &arns)? else {
            return Ok(Listed { channels: Vec::new(), next_token: None });
        };
        let (rows, next) = sought.search(tx, from, page.reach() - 1)?;
        let channels =
            rows.into_iter().map(|(channel, target)| ChannelSummary::new(channel, target)).collect();
        Ok(Listed { channels, next_token: next.map(|key| page.token(&key)) })
    }
}

impl SearchChannels {
    /// The members that each field names, each once.
    fn arns(&self) -> Result<Vec<(SearchFieldOperator, BTreeSet<IdentityArn>)>> {
        let field = |field: &SearchField| {
            check_length("Values", Some(field.values.len()), 1, 20)?;
            let wrong = |_| Error::bad_request("Values: must be ARNs of users or bots");
            let read = |value: &SearchFieldValue| value.as_str().parse().map_err(wrong);
            Ok((field.operator, field.values.iter().map(read).collect::<Result<_>>()?))
        };
        self.fields.iter().map(field).collect()
    }
}

/// A channel, and the last message in it that only the caller, or they and the sender, could see.
type Row = (StoredChannel, Option<Timestamp>);

/// A search whose names were found.
struct Sought<'a> {
    bearer: &'a Found,
    /// Who must belong, seen by the bearer.
    members: BTreeSet<Key>,
    /// How many must belong and no more, where a field says so.
    exactly: Option<i64>,
}

impl<'a> Sought<'a> {
    /// Nothing where no channel can be like that: a name that nobody has, or two different exact sets.
    fn find(
        tx: &mut Tx,
        call: &Call,
        bearer: &'a Found,
        fields: &[(SearchFieldOperator, BTreeSet<IdentityArn>)],
    ) -> Result<Option<Self>> {
        let instance = bearer.identity.arn.app_instance();
        let all: BTreeSet<&IdentityArn> = fields.iter().flat_map(|(_, arns)| arns).collect();
        let exact = fields.iter().filter(|(operator, _)| *operator == SearchFieldOperator::Equals);
        if exact.clone().any(|(_, arns)| arns.len() != all.len()) {
            return Ok(None);
        }
        let exactly = exact.map(|(_, arns)| i64::try_from(arns.len()).unwrap_or(i64::MAX)).next();
        let mut members = BTreeSet::new();
        for arn in all {
            if arn.app_instance() != instance {
                return Ok(None);
            }
            let Some(found) = call.find_identity(tx, arn, &instance)? else { return Ok(None) };
            members.insert(found.identity.key);
        }
        Ok(Some(Self { bearer, members, exactly }))
    }

    /// Up to `limit` channels from `from` on, and where to go on. All who are sought are walked at once along
    /// their channels: whoever is behind catches up with one seek, so a common channel costs a seek each, and
    /// a long stretch without one costs little.
    fn search(&self, tx: &mut Tx, mut from: Key, limit: i64) -> Result<(Vec<Row>, Option<Key>)> {
        let viewer = self.bearer.identity.key;
        let mut walkers: Vec<Key> = self.members.iter().copied().collect();
        if !self.bearer.is_admin && !self.members.contains(&viewer) {
            walkers.push(viewer);
        }
        let mut rows = Vec::new();
        let (mut seeks, mut agreeing) = (0, 0);
        for walker in walkers.iter().copied().cycle() {
            if SEEKS_MAX <= seeks {
                return Ok((rows, Some(from)));
            }
            seeks += 1;
            let Some(channel) = store::membership::next_channel(tx, walker, from)? else {
                return Ok((rows, None));
            };
            agreeing = if channel == from { agreeing + 1 } else { 1 };
            from = channel;
            if agreeing < walkers.len() {
                continue;
            }
            // One more than the page holds is not read, but where it stands is where the next page begins.
            if i64::try_from(rows.len()).unwrap_or(i64::MAX) == limit {
                return Ok((rows, Some(from)));
            }
            seeks += 2 * self.members.len();
            rows.extend(self.look(tx, from)?);
            let Some(next) = from.next() else { return Ok((rows, None)) };
            (from, agreeing) = (next, 0);
        }
        Ok((rows, None))
    }

    /// The channel that all belong to, if what the bearer sees of it is what is sought.
    fn look(&self, tx: &mut Tx, key: Key) -> Result<Option<Row>> {
        let viewer = &self.bearer.identity;
        let Some(channel) = store::channel::find(tx, &viewer.arn.app_instance(), key)? else {
            return Ok(None);
        };
        let own = store::membership::find_channel(tx, &viewer.arn.app_instance(), viewer.key, key)?;
        let moderates = self.bearer.is_admin || store::channel::is_moderator(tx, key, viewer.key)?;
        let hidden = own.as_ref().is_some_and(|own| own.kind == ChannelMembershipType::Hidden);
        // A hidden member sees nobody else; everyone but who moderates sees no hidden ones.
        for member in self.members.iter().filter(|member| !moderates && **member != viewer.key) {
            if hidden || !store::membership::is_seen(tx, key, *member)? {
                return Ok(None);
            }
        }
        if let Some(exactly) = self.exactly {
            let (seer, most) = ((!moderates).then_some(viewer.key), exactly + 1);
            if store::membership::count_members(tx, key, seer, most)? != exactly {
                return Ok(None);
            }
        }
        Ok(Some((channel, own.and_then(|own| own.last_target_at))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn search(who: &IdentityArn, operator: SearchFieldOperator, members: &[&IdentityArn]) -> SearchChannels {
        let values = members.iter().map(|arn| text(arn.as_str())).collect();
        SearchChannels {
            chime_bearer: Some(who.clone()),
            fields: vec![SearchField { key: SearchFieldKey::Members, values, operator }],
            max_results: None,
            next_token: None,
        }
    }

    fn found(world: &mut World, search: &SearchChannels) -> Vec<ChannelArn> {
        let mut search = search.clone();
        let mut seen = Vec::new();
        loop {
            let listed = world.call(&search).unwrap();
            seen.extend(listed.channels.into_iter().map(|channel| channel.channel_arn));
            search.next_token = listed.next_token;
            if search.next_token.is_none() {
                seen.sort();
                return seen;
            }
        }
    }

    fn sorted<const N: usize>(mut channels: [&ChannelArn; N]) -> Vec<ChannelArn> {
        channels.sort();
        channels.into_iter().cloned().collect()
    }

    use SearchFieldOperator::{Equals, Includes};

    #[engine_test]
    fn everyone_finds_their_own_channels_and_admins_all(world: &mut World) {
        let [ana, bob, cy] = ["ana", "bob", "cy"].map(|name| world.user(name));
        let root = world.admin("root");
        let [pair, trio, alone, others] = [&ana, &ana, &ana, &cy]
            .map(|who| world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Public));
        for (channel, by, who) in
            [(&pair, &ana, &bob), (&trio, &ana, &bob), (&trio, &ana, &cy), (&others, &cy, &bob)]
        {
            world.join(channel, by, who);
        }
        let mut find = |who, operator, members: &[_]| found(world, &search(who, operator, members));
        assert_eq!(find(&ana, Equals, &[&ana, &bob]), sorted([&pair]));
        assert_eq!(find(&ana, Includes, &[&bob]), sorted([&pair, &trio]));
        assert_eq!(find(&ana, Includes, &[&ana]), sorted([&pair, &trio, &alone]));
        assert_eq!(find(&ana, Equals, &[&bob]), [], "the caller is not thought in");
        assert_eq!(find(&root, Includes, &[&bob]), sorted([&pair, &trio, &others]));
        assert_eq!(find(&root, Equals, &[&ana]), sorted([&alone]));
        assert_eq!(find(&ana, Includes, &[&ana.app_instance().user("nobody")]), []);
        let mut both = search(&bob, Includes, &[&ana]);
        both.fields.extend(search(&bob, Includes, &[&cy]).fields);
        both.max_results = Some(1.try_into().unwrap());
        assert_eq!(found(world, &both), sorted([&trio]));
        let paged = SearchChannels { fields: search(&bob, Includes, &[&bob]).fields, ..both };
        assert_eq!(found(world, &paged), sorted([&pair, &trio, &others]));
    }

    #[engine_test]
    fn hidden_members_count_for_those_who_may_see_them(world: &mut World) {
        let [ana, bob, ghost] = ["ana", "bob", "ghost"].map(|name| world.user(name));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        let mut find = |who, operator, members: &[_]| found(world, &search(who, operator, members)).len();
        assert_eq!(find(&bob, Equals, &[&ana, &bob]), 1);
        assert_eq!(find(&bob, Includes, &[&ghost]), 0);
        assert_eq!(find(&ana, Equals, &[&ana, &bob]), 0);
        assert_eq!(find(&ana, Equals, &[&ana, &bob, &ghost]), 1);
        assert_eq!(find(&ghost, Includes, &[&ghost]), 1);
        assert_eq!(find(&ghost, Includes, &[&bob]), 0);
    }

    #[engine_test]
    fn what_is_no_arn_or_too_much_is_refused(world: &mut World) {
        let ana = world.user("ana");
        let good = search(&ana, Includes, &[&ana]);
        let mut code = |change: fn(&mut SearchChannels)| {
            let mut search = good.clone();
            change(&mut search);
            world.call(&search).unwrap_err().code
        };
        assert_eq!(code(|search| search.fields[0].values = vec![text("ana")]), ErrorCode::BadRequest);
        assert_eq!(code(|search| search.fields[0].values.clear()), ErrorCode::BadRequest);
        assert_eq!(code(|search| search.fields.clear()), ErrorCode::BadRequest);
        assert_eq!(code(|search| search.chime_bearer = None), ErrorCode::Unauthorized);
        let many = |search: &mut SearchChannels| {
            let value = search.fields[0].values[0].clone();
            search.fields[0].values = vec![value; 21];
        };
        assert_eq!(code(many), ErrorCode::BadRequest);
    }
}
