//! What a transaction asks first, known before it runs: so all the transactions of a batch ask at the same time.
//!
//! A look may be older than what an earlier transaction of the batch did. Those are of callers who wait at the same
//! time, and could have come in any order; what concerns the same channel is found out when that is claimed
//! ([`crate::claim::take`]), which every write does.

use carillon_model::arn::{ChannelArn, IdentityArn};
use carillon_model::text::ClientRequestToken;
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::Driver;
use crate::known::Standings;
use crate::message::Status;
use crate::request_token::{Earlier, Scope};
use crate::standing::{self, Further, Look, Standing};
use crate::{Result, Row};

/// A question that was asked already, and what there was.
#[derive(Debug)]
pub(crate) struct Asked<Q, T> {
    question: Q,
    pub(crate) found: Option<T>,
}

/// A token of somebody's, for an operation.
type TokenOf = (Key, &'static str, ClientRequestToken);

/// What was looked at, each for the first who asks.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    standing: Option<Asked<(IdentityArn, ChannelArn), Standing>>,
    token: Option<Asked<TokenOf, (Earlier, Timestamp)>>,
    status: Option<Asked<(Key, MessageKey), Status>>,
}

impl Looked {
    pub(crate) fn take_standing(
        &mut self,
        who: &IdentityArn,
        channel: &ChannelArn,
    ) -> Option<Asked<(IdentityArn, ChannelArn), Standing>> {
        self.standing.take_if(|asked| asked.question.0 == *who && asked.question.1 == *channel)
    }

    pub(crate) fn take_token(&mut self, scope: Scope<'_>) -> Option<Asked<TokenOf, (Earlier, Timestamp)>> {
        self.token.take_if(|asked| {
            let (owner, operation, token) = &asked.question;
            *owner == scope.owner && *operation == scope.operation && token == scope.token
        })
    }

    pub(crate) fn take_status(
        &mut self,
        place: Key,
        message: MessageKey,
    ) -> Option<Asked<(Key, MessageKey), Status>> {
        self.status.take_if(|asked| asked.question == (place, message))
    }
}

/// What was found of a look.
#[derive(Default)]
struct Found {
    standing: Option<Standing>,
    token: Option<(Earlier, Timestamp)>,
    status: Option<Status>,
}

/// Looks at all of it in one go; at nothing, where there is nothing to look at, or where it is remembered.
pub(crate) fn all(
    driver: &mut dyn Driver,
    looks: &[Option<&Look>],
    mut standings: Option<&mut Standings>,
) -> Result<Vec<Looked>> {
    let mut looked: Vec<Looked> = looks.iter().map(|_| Looked::default()).collect();
    let (mut asked, mut queries) = (Vec::new(), Vec::new());
    for (at, look) in looks.iter().enumerate().filter_map(|(at, look)| Some((at, (*look)?))) {
        let is_of_channel = !matches!(look.further, Further::Status { .. });
        let known = standings.as_ref().filter(|_| is_of_channel);
        let standing = known.and_then(|known| known.find(look));
        let is_known = standing.is_some();
        let query = match &standing {
            Some(standing) => standing::query_rest(look, standing.identity.key),
            None => standing::query(look),
        };
        let found = Found { standing, ..Found::default() };
        match query {
            Some(query) => {
                asked.push(Open { at, look, is_known, found });
                queries.push(query);
            }
            None if is_known => looked[at] = keep(look, found),
            None => {}
        }
    }
    if queries.is_empty() {
        return Ok(looked);
    }
    driver.query_all(&queries, &mut |at, row| asked[at].read(row))?;
    for Open { at, look, is_known, found } in asked {
        if let (false, Some(standing), Some(standings)) = (is_known, &found.standing, &mut standings) {
            standings.keep(look, standing);
        }
        looked[at] = keep(look, found);
    }
    Ok(looked)
}

/// A look that is being asked.
struct Open<'a> {
    at: usize,
    look: &'a Look,
    /// The standing is remembered, and was not asked.
    is_known: bool,
    found: Found,
}

impl Open<'_> {
    fn read(&mut self, row: &mut Row<'_>) -> Result<()> {
        let Self { look, found, .. } = self;
        match look.further {
            Further::Nothing => {}
            Further::Token { .. } => {
                let (at, earlier): (Option<Timestamp>, Option<_>) = row.read()?;
                found.token = at.zip(earlier).map(|(at, (input, result))| (Earlier { input, result }, at));
            }
            Further::Status { .. } => {
                let (detail, kept): (_, Option<_>) = row.read()?;
                found.status = kept.map(|(sender, status)| Status { sender, status, detail });
            }
        }
        if self.is_known {
            return Ok(());
        }
        let standing = standing::standing(row, &look.who, &look.channel)?;
        found.standing = Some(match found.standing.take() {
            Some(before) => before.and(standing),
            None => standing,
        });
        Ok(())
    }
}

fn keep(look: &Look, found: Found) -> Looked {
    let mut looked = Looked::default();
    if let Some(standing) = &found.standing {
        match &look.further {
            Further::Nothing => {}
            Further::Token { operation, token } => {
                let question = (standing.identity.key, *operation, token.clone());
                looked.token = Some(Asked { question, found: found.token });
            }
            Further::Status { place, message } => {
                let place = place.or(standing.channel.as_ref().map(|channel| channel.key));
                let found = found.status;
                looked.status = place.map(|place| Asked { question: (place, *message), found });
            }
        }
    }
    let question = (look.who.clone(), look.channel.clone());
    looked.standing = Some(Asked { question, found: found.standing });
    looked
}
