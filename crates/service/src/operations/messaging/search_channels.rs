//! `SearchChannels`: the channels that certain people share; one's own, or for administrators, all.

use std::collections::BTreeSet;

use carillon_model::arn::IdentityKind;
use carillon_model::channel::Channel as StoredChannel;
use carillon_store::identity::Found;
use carillon_store::search::{Beside, Counted, Seen, Stretch};

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
const SEEKS_MAX: u64 = if cfg!(test) { 20 } else { 1_000 };
/// How many rows of two lists that are walked side by side cost as much as one look-up.
const ROWS_A_SEEK: u64 = 5;
/// How many channels are looked at in one go at the least, where not all that are found may be sought: a page of one
/// would look at them one by one.
const LOOK_LEN_MIN: usize = 50;

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

/// Somebody, and how many channels they are in.
#[derive(Debug, Clone, Copy)]
struct Member {
    key: Key,
    count: u64,
}

impl Member {
    fn of(found: &Found) -> Self {
        let count = u64::try_from(found.membership_count).unwrap_or_default();
        Self { key: found.identity.key, count: count.max(1) }
    }
}

/// A search whose names were found.
struct Sought<'a> {
    bearer: &'a Found,
    /// Who must belong, seen by the bearer.
    members: BTreeSet<Key>,
    /// Who of them, and of the bearer where they must belong, too, is in the fewest channels.
    walker: Member,
    /// All others who must belong, those in fewer channels first.
    others: Vec<Member>,
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
        let members: BTreeSet<Key> = found.iter().map(|one| one.identity.key).collect();
        let mut must: Vec<Member> = found.iter().map(Member::of).collect();
        if must.is_empty() || !bearer.is_admin && !members.contains(&bearer.identity.key) {
            must.push(Member::of(bearer));
        }
        must.sort_by_key(|member| (member.count, member.key));
        let others = must.split_off(1);
        Ok(must.pop().map(|walker| Self { bearer, members, walker, others, exactly }))
    }

    /// Up to `limit` channels from `from` on, and where to go on. Whoever is in the fewest channels is walked along
    /// them, together with whoever is in the next fewest, and of what they share it is asked whether all others belong.
    fn search(&self, tx: &mut Tx, mut from: Key, limit: usize) -> Result<(Vec<Row>, Option<Key>)> {
        let viewer = (&self.bearer.identity.arn.app_instance(), self.bearer.identity.key);
        let pace = Pace::of(self.walker, self.others.first().copied());
        let (mut rows, mut seeks) = (Vec::new(), 0);
        while seeks < SEEKS_MAX {
            // One more than the page holds is where the next page begins.
            let wanted = limit + 1 - rows.len();
            let most = if self.takes_all() { wanted } else { wanted.max(LOOK_LEN_MIN) };
            let stretch = Stretch {
                walker: self.walker.key,
                from,
                until: pace.until(from, SEEKS_MAX - seeks),
                limit: i64::try_from(most).unwrap_or(i64::MAX),
            };
            let found = store::search::walk(tx, viewer, &stretch, pace.beside)?;
            let last = found.stopped_at.unwrap_or(stretch.until);
            seeks += pace.seeks(from, last) + 2 * found.seen.len() as u64;
            for row in self.judge(tx, found.seen, &mut seeks)? {
                if rows.len() == limit {
                    return Ok((rows, Some(row.0.key)));
                }
                rows.push(row);
            }
            let Some(next) = last.next() else { return Ok((rows, None)) };
            from = next;
        }
        Ok((rows, Some(from)))
    }

    /// Whether each channel that the first two share, if there are two, is one that is sought.
    fn takes_all(&self) -> bool {
        self.exactly.is_none() && self.others.len() < 2
    }

    /// Those of channels that the first two share to which all others belong, too, and in which what the bearer sees is
    /// what is sought.
    fn judge(&self, tx: &mut Tx, mut seen: Vec<Seen>, seeks: &mut u64) -> Result<Vec<Row>> {
        let rest: Vec<Key> = self.others.iter().skip(1).map(|member| member.key).collect();
        let keys = |seen: &[Seen]| seen.iter().map(|seen| seen.channel.key).collect::<Vec<_>>();
        for some in rest.chunks(store::LIST_LEN_MAX) {
            *seeks += (seen.len() * some.len()) as u64;
            let common = store::search::list_common(tx, &keys(&seen), some)?;
            seen.retain(|seen| common.binary_search(&seen.channel.key).is_ok());
        }
        let (doubtful, clear): (Vec<Seen>, Vec<Seen>) = seen.into_iter().partition(|seen| self.doubts(seen));
        let is_exact = |seen: &Seen| self.exactly.is_none_or(|exactly| seen.channel.member_count == exactly);
        let mut found: Vec<Seen> = clear.into_iter().filter(is_exact).collect();
        if !doubtful.is_empty() {
            *seeks += 2 * doubtful.len() as u64;
            let sought = self.sought_of(tx, &keys(&doubtful))?;
            found.extend(doubtful.into_iter().filter(|seen| sought.contains(&seen.channel.key)));
            found.sort_by_key(|seen| seen.channel.key);
        }
        Ok(found.into_iter().map(|seen| (seen.channel, seen.last_target_at)).collect())
    }

    /// Whether the count of a channel does not say yet what the bearer sees: where somebody is hidden, and in elastic
    /// channels, whose moderators have several places.
    fn doubts(&self, seen: &Seen) -> bool {
        seen.has_hidden && (self.exactly.is_some() || self.seeks_others())
            || seen.channel.elastic.is_some() && self.exactly.is_some()
    }

    fn seeks_others(&self) -> bool {
        self.members.iter().any(|member| *member != self.bearer.identity.key)
    }

    /// Those of channels that all belong to in which what the bearer sees is what is sought.
    fn sought_of(&self, tx: &mut Tx, channels: &[Key]) -> Result<BTreeSet<Key>> {
        let most = self.exactly.map_or(0, |exactly| exactly + 1);
        let mut found = store::search::count(tx, self.bearer.identity.key, channels, most)?;
        let moderates = |counted: &Counted| self.bearer.is_admin || counted.is_moderator;
        let count =
            |counted: &Counted| if moderates(counted) { counted.member_count } else { counted.seen_count };
        found.retain(|counted| self.exactly.is_none_or(|exactly| count(counted) == exactly));
        if self.seeks_others() {
            // A hidden member sees nobody else; everyone but who moderates sees no hidden ones.
            let sees_some = found.iter().filter(|counted| !moderates(counted));
            let sees_some: Vec<Key> = sees_some.map(|counted| counted.channel).collect();
            let hidden_in = self.hidden_in(tx, &sees_some)?;
            found.retain(|counted| moderates(counted) || !hidden_in.contains(&counted.channel));
        }
        Ok(found.into_iter().map(|counted| counted.channel).collect())
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

/// How somebody's channels are walked along, and what that costs. The keys of channels are random, so a share of all
/// keys holds about that share of anybody's channels, and nobody needs to ask where the thousandth of them is.
struct Pace {
    beside: Beside,
    /// About how many rows a walk along all channels reads; look-ups count as the rows that cost as much.
    rows: u64,
}

impl Pace {
    /// A look-up goes down an index from its root; a row of a list is the one behind the row before. So where the other
    /// list is not much longer, all of it is walked along.
    fn of(walker: Member, other: Option<Member>) -> Self {
        let Some(other) = other else { return Self { beside: Beside::Nobody, rows: walker.count } };
        let (met, sought) = (walker.count + other.count, walker.count * ROWS_A_SEEK);
        if met < sought {
            Self { beside: Beside::Met(other.key), rows: met }
        } else {
            Self { beside: Beside::Sought(other.key), rows: sought }
        }
    }

    /// Up to which key a walk comes for about so many look-ups.
    fn until(&self, from: Key, seeks: u64) -> Key {
        let rows = u128::from(self.rows);
        let span = (u128::MAX / rows).saturating_mul(u128::from(seeks * ROWS_A_SEEK));
        Key(number(from).saturating_add(span).to_be_bytes())
    }

    /// About how many look-ups a walk costs; one at least.
    fn seeks(&self, from: Key, until: Key) -> u64 {
        let share = (number(until) - number(from)) / (u128::MAX / u128::from(self.rows));
        u64::try_from(share).unwrap_or(u64::MAX) / ROWS_A_SEEK + 1
    }
}

fn number(key: Key) -> u128 {
    u128::from_be_bytes(key.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom as _;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::operations::messaging::create_channel::CreateChannel;
    use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
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

    /// What is found on all pages, as it comes.
    fn pages(world: &mut World, search: &SearchChannels) -> Vec<ChannelArn> {
        let mut search = search.clone();
        let mut seen = Vec::new();
        loop {
            let listed = world.call(&search).unwrap();
            seen.extend(listed.channels.into_iter().map(|channel| channel.channel_arn));
            search.next_token = listed.next_token;
            if search.next_token.is_none() {
                return seen;
            }
        }
    }

    fn found(world: &mut World, search: &SearchChannels) -> Vec<ChannelArn> {
        let mut seen = pages(world, search);
        seen.sort();
        seen
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

    /// As many channels of somebody's as a page walks along, and half as many again.
    fn many() -> usize {
        usize::try_from(SEEKS_MAX * ROWS_A_SEEK * 3 / 2).unwrap()
    }

    fn channels(world: &mut World, who: &IdentityArn, count: usize) -> Vec<ChannelArn> {
        (0..count).map(|_| world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Private)).collect()
    }

    #[engine_test]
    fn a_page_that_costs_too_much_is_cut_and_goes_on(world: &mut World) {
        let [ana, bob, cy] = ["ana", "bob", "cy"].map(|name| world.user(name));
        let made = channels(world, &ana, many());
        channels(world, &bob, many() / 2);
        channels(world, &cy, many() / 7);
        world.join(&made[0], &ana, &bob);
        world.join(&made[1], &ana, &cy);
        // The lists of the first two are walked side by side; those of the third are looked up.
        for (other, shared) in [(&bob, &made[0]), (&cy, &made[1])] {
            let both = search(&ana, Equals, &[&ana, other]);
            assert!(world.call(&both).unwrap().next_token.is_some(), "not all could be looked at");
            assert_eq!(found(world, &both), std::slice::from_ref(shared));
        }
        assert_eq!(found(world, &search(&ana, Includes, &[&ana])).len(), many());
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

    /// A channel as a test made it.
    struct Room {
        key: Key,
        arn: ChannelArn,
        /// Who belongs, and whether they are hidden.
        members: BTreeMap<IdentityArn, bool>,
        moderators: BTreeSet<IdentityArn>,
        /// How many places they have.
        places: i64,
    }

    impl Room {
        fn make(world: &mut World, people: &[IdentityArn], random: &mut StdRng) -> Self {
            let creator = people.choose(random).unwrap();
            let share = if random.random_bool(0.3) { 0.8 } else { 0.25 };
            let others: Vec<_> =
                people.iter().filter(|who| *who != creator && random.random_bool(share)).collect();
            let mut members = BTreeMap::new();
            let mut moderators = BTreeSet::from([creator.clone()]);
            let arn = if random.random_bool(0.2) {
                let create = elastic_request(world, creator);
                let create = CreateChannel { client_request_token: world.token(), ..create };
                let arn = world.call(&create).unwrap();
                for who in others.iter().take(3) {
                    let place = world.join(&arn.channel_arn, creator, who).unwrap();
                    members.insert((*who).clone(), false);
                    // Whoever moderates belongs nowhere at first, and to several places then.
                    let joined = world.call(&CreateChannelMembership {
                        channel_arn: arn.channel_arn.clone(),
                        member_arn: creator.clone(),
                        kind: ChannelMembershipType::Default,
                        chime_bearer: creator.clone(),
                        sub_channel_id: Some(place),
                    });
                    if joined.is_ok() {
                        members.insert(creator.clone(), false);
                    }
                }
                arn.channel_arn
            } else {
                let arn = world.channel_of(creator, ChannelMode::Restricted, ChannelPrivacy::Private);
                members.insert(creator.clone(), false);
                for who in others {
                    let is_hidden = random.random_bool(0.2);
                    if is_hidden {
                        world.join_hidden(&arn, creator, who);
                    } else {
                        world.join(&arn, creator, who);
                        if random.random_bool(0.2) {
                            world.moderate(&arn, creator, who);
                            moderators.insert(who.clone());
                        }
                    }
                    members.insert(who.clone(), is_hidden);
                }
                arn
            };
            let looked = arn.clone();
            let made = world.step(move |tx, _| Ok(store::channel::find_by_arn(tx, &looked)?)).unwrap();
            Self { key: made.key, arn, members, moderators, places: made.member_count }
        }

        /// Whether somebody finds it who looks for these, and for no others where it is to be exact.
        fn is_found(
            &self,
            who: &IdentityArn,
            is_admin: bool,
            sought: &BTreeSet<IdentityArn>,
            is_exact: bool,
        ) -> bool {
            let sees_all = is_admin || self.moderators.contains(who);
            let is_hidden = |member: &IdentityArn| self.members.get(member) == Some(&true);
            let seen = self.members.keys().filter(|member| sees_all || *member == who || !is_hidden(member));
            let may_find = |member: &IdentityArn| {
                let is_seen = sees_all || member == who || !is_hidden(member) && !is_hidden(who);
                self.members.contains_key(member) && is_seen
            };
            (is_admin || self.members.contains_key(who))
                && sought.iter().all(may_find)
                && (!is_exact || seen.count() == sought.len())
        }
    }

    #[engine_test]
    fn random_searches_find_what_a_look_at_each_channel_finds(world: &mut World) {
        world.set_quotas(|quotas| quotas.elastic_channels_max = 1_000);
        let mut random = StdRng::seed_from_u64(17);
        let root = world.admin("root");
        let mut people: Vec<_> =
            ["ana", "bob", "cy", "dan", "eve"].iter().map(|name| world.user(name)).collect();
        people.push(root.clone());
        let mut rooms: Vec<_> = (0..60).map(|_| Room::make(world, &people, &mut random)).collect();
        let has_more_places = |room: &Room| room.members.len() < usize::try_from(room.places).unwrap();
        assert!(rooms.iter().any(has_more_places), "somebody who moderates has several places");
        let few = world.user("few");
        for room in rooms.iter_mut().step_by(13) {
            let by = room.moderators.first().unwrap().clone();
            world.join(&room.arn, &by, &few);
            room.members.insert(few.clone(), false);
        }
        people.push(few);
        for room in rooms.extract_if(.., |_| random.random_bool(0.1)) {
            world.end(&room.arn, room.moderators.first().unwrap());
        }
        rooms.sort_by_key(|room| room.key);
        let mut counts = [0, 0];
        for number in 0..300 {
            let who = people.choose(&mut random).unwrap();
            let mut wanted = search(who, Includes, &[]);
            wanted.max_results = Some(random.random_range(1..=50).try_into().unwrap());
            wanted.fields.clear();
            let (mut all, mut exact) = (BTreeSet::new(), false);
            for _ in 0..random.random_range(1..=2) {
                let operator = if random.random_bool(0.4) { Equals } else { Includes };
                let most = random.random_range(1..=3);
                let mut members: Vec<_> = people.sample(&mut random, most).collect();
                if random.random_bool(0.8) && !members.contains(&who) {
                    members.push(who);
                }
                all.extend(members.iter().copied().cloned());
                exact |= operator == Equals;
                wanted.fields.extend(search(who, operator, &members).fields);
            }
            let may_be = wanted
                .fields
                .iter()
                .all(|field| field.operator == Includes || field.values.len() == all.len());
            let is_found = |room: &&Room| room.is_found(who, *who == root, &all, exact);
            let expected: Vec<_> = rooms.iter().filter(is_found).map(|room| room.arn.clone()).collect();
            let expected = if may_be { expected } else { Vec::new() };
            counts[usize::from(exact)] += expected.len();
            assert_eq!(pages(world, &wanted), expected, "search {number}: {wanted:?}");
        }
        assert!(400 < counts[0] && 20 < counts[1], "searches of both kinds found something: {counts:?}");
    }
}
