//! `SearchChannels`: the channels that certain people share; one's own, or for administrators, all.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::arn::IdentityKind;
use carillon_model::channel::Channel as StoredChannel;
use carillon_store::identity::Found;
use carillon_store::search::Seen;

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

/// How many look-ups one page may cost. A page that was cut short by it goes on with its token. Tests make each channel
/// that is looked at.
const SEEKS_MAX: usize = if cfg!(test) { 60 } else { 1_000 };
/// How many channels of somebody's are looked at in one go.
const WALK_LEN_MAX: usize = 500;

impl Read for SearchChannels {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let arns = self.arns()?;
        let bearer = call.bearer(tx)?;
        let (page, from) = Page::of(self, call)?;
        let from = from.unwrap_or(Key([0; 16]));
        let Some(sought) = Sought::find(tx, &bearer, &arns)? else {
            return Ok(Listed { channels: Vec::new(), next_token: None });
        };
        let (rows, next) = sought.search(tx, from, page.size())?;
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
    /// Who of them, and of the bearer where they must belong, too, is in the fewest channels.
    walker: Key,
    /// How many must belong and no more, where a field says so.
    exactly: Option<i64>,
}

impl<'a> Sought<'a> {
    /// Nothing where no channel can be like that: a name that nobody has, or two different exact sets.
    fn find(
        tx: &mut Tx,
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
        if all.iter().any(|arn| arn.app_instance() != instance) {
            return Ok(None);
        }
        let (bots, users): (Vec<_>, Vec<_>) = all.iter().partition(|arn| arn.kind() == IdentityKind::Bot);
        let mut found = Vec::new();
        for some in users.chunks(store::LIST_LEN_MAX).chain(bots.chunks(store::LIST_LEN_MAX)) {
            found.extend(store::identity::find_all(tx, some)?);
        }
        if found.len() != all.len() {
            return Ok(None);
        }
        let must = found.iter().chain(Some(bearer).filter(|bearer| !bearer.is_admin));
        let walker =
            must.min_by_key(|one| one.membership_count).map_or(bearer.identity.key, |one| one.identity.key);
        let members = found.iter().map(|one| one.identity.key).collect();
        Ok(Some(Self { bearer, members, walker, exactly }))
    }

    /// Up to `limit` channels from `from` on, and where to go on. Whoever is in the fewest channels is walked along
    /// them, many at a time, and of each it is asked whether all others belong.
    fn search(&self, tx: &mut Tx, mut from: Key, limit: usize) -> Result<(Vec<Row>, Option<Key>)> {
        let viewer = self.bearer.identity.key;
        let mut others: Vec<Key> = self.members.iter().copied().collect();
        if !self.bearer.is_admin && !self.members.contains(&viewer) {
            others.push(viewer);
        }
        others.retain(|member| *member != self.walker);
        let each = others.len().max(1);
        let (mut rows, mut seeks) = (Vec::new(), 0);
        // Where nobody else must belong, each channel is a row of the page, and no more are needed.
        let at_once = if others.is_empty() { WALK_LEN_MAX.min(limit + 1) } else { WALK_LEN_MAX };
        while seeks < SEEKS_MAX {
            let most = at_once.min((SEEKS_MAX - seeks).div_ceil(each));
            let limits = (self.walker, from, i64::try_from(most).unwrap_or(i64::MAX));
            let walk = store::search::walk(tx, limits, &others)?;
            seeks += most * each;
            for some in walk.common.chunks(store::LIST_LEN_MAX) {
                seeks += 2 * some.len();
                let mut seen = self.look(tx, some)?;
                for channel in some {
                    // One more than the page holds is where the next page begins.
                    if rows.len() == limit {
                        return Ok((rows, Some(*channel)));
                    }
                    rows.extend(seen.remove(channel));
                }
            }
            let Some(next) = walk.last.and_then(Key::next) else { return Ok((rows, None)) };
            from = next;
        }
        Ok((rows, Some(from)))
    }

    /// Those of channels that all belong to in which what the bearer sees is what is sought.
    fn look(&self, tx: &mut Tx, common: &[Key]) -> Result<BTreeMap<Key, Row>> {
        let viewer = &self.bearer.identity;
        let most = self.exactly.map_or(0, |exactly| exactly + 1);
        let mut found = store::search::list(tx, (&viewer.arn.app_instance(), viewer.key), common, most)?;
        let moderates = |seen: &Seen| self.bearer.is_admin || seen.is_moderator;
        let count = |seen: &Seen| if moderates(seen) { seen.member_count } else { seen.seen_count };
        found.retain(|seen| self.exactly.is_none_or(|exactly| count(seen) == exactly));
        if self.members.iter().any(|member| *member != viewer.key) {
            // A hidden member sees nobody else; everyone but who moderates sees no hidden ones.
            let sees_some = found.iter().filter(|seen| !moderates(seen)).map(|seen| seen.channel.key);
            let hidden_in = self.hidden_in(tx, &sees_some.collect::<Vec<_>>())?;
            found.retain(|seen| moderates(seen) || !hidden_in.contains(&seen.channel.key));
        }
        let row = |seen: Seen| (seen.channel.key, (seen.channel, seen.last_target_at));
        Ok(found.into_iter().map(row).collect())
    }

    /// In which of these channels the bearer, or somebody who is sought, is hidden.
    fn hidden_in(&self, tx: &mut Tx, channels: &[Key]) -> Result<BTreeSet<Key>> {
        let people: Vec<Key> = self.members.iter().copied().chain([self.bearer.identity.key]).collect();
        let mut hidden = BTreeSet::new();
        for some in people.chunks(store::LIST_LEN_MAX) {
            let found = store::search::list_hidden(tx, channels, some)?;
            hidden.extend(found.into_iter().map(|(channel, _)| channel));
        }
        Ok(hidden)
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
    fn a_page_that_costs_too_much_is_cut_and_goes_on(world: &mut World) {
        let [ana, bob] = ["ana", "bob"].map(|name| world.user(name));
        let made: Vec<_> = [&ana, &bob]
            .iter()
            .flat_map(|who| std::iter::repeat_n(*who, SEEKS_MAX + 10))
            .map(|who| world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Private))
            .collect();
        world.join(&made[0], &ana, &bob);
        let both = search(&ana, Equals, &[&ana, &bob]);
        assert!(world.call(&both).unwrap().next_token.is_some(), "not all could be looked at");
        assert_eq!(found(world, &both), [made[0].clone()]);
        assert_eq!(found(world, &search(&ana, Includes, &[&ana])).len(), SEEKS_MAX + 10);
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
