//! How someone stands to a channel: what the rules ask, in one read.

use carillon_model::arn::{ChannelArn, IdentityArn};
use carillon_model::channel::Channel;
use carillon_model::identity::Identity;
use carillon_model::text::{ChannelMembershipType, ClientRequestToken};
use carillon_model::{Key, MessageKey, Timestamp};

use crate::app_instance::Retention;
use crate::channel::{channel, channel_columns};
use crate::engine::{Query, Value, values};
use crate::row::sql;
use crate::{Result, Row, Tx};

/// How a user or bot stands to a channel: everything that the rules ask, in one read.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Who it is.
    pub identity: Identity,
    /// Whether it administers the app instance.
    pub is_admin: bool,
    /// Whether it moderates the channel.
    pub is_moderator: bool,
    /// Where and how it belongs; one place at most, but for the moderators of an elastic channel.
    pub memberships: Vec<Place>,
    /// The channel, where it exists.
    pub channel: Option<Channel>,
    /// The key of the flow that its messages pass.
    pub flow: Option<Key>,
    /// How long its app instance keeps messages, where it does not keep them for ever.
    pub retention: Option<Retention>,
}

impl Standing {
    /// The same with the places of another row.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.memberships.extend(other.memberships);
        self
    }
}

/// One place of a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// How it belongs.
    pub kind: ChannelMembershipType,
    /// The last message that only it, or it and the sender, could see.
    pub last_target_at: Option<Timestamp>,
}

/// Standings, behind something further.
macro_rules! select_standing {
    ($further:literal, $join:literal) => {
        sql!("SELECT " $further
             "i.key, i.name, i.admin_since, a.retention_days, a.retention_destroys_at, o.created_at, m.sub_channel,
                m.kind, m.last_target_at, c.flow, c.key, " channel_columns!(c)
             " FROM identity i
               JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
               LEFT JOIN channel c ON c.app_instance = $4 AND c.id = $5 AND c.deleted_at IS NULL
               LEFT JOIN moderator o ON o.channel = c.key AND o.member = i.key
               LEFT JOIN membership m ON m.channel = c.key AND m.member = i.key " $join
             " WHERE i.app_instance = $1 AND i.kind = $2 AND i.id = $3 AND i.deleted_at IS NULL")
    };
}

/// How `who` stands to the channel that `arn` names; nothing when `who` does not exist.
pub fn find(tx: &mut Tx, who: &IdentityArn, arn: &ChannelArn) -> Result<Option<Standing>> {
    if let Some(asked) = tx.looked().take_standing(who, arn) {
        return Ok(asked.found);
    }
    let Some(home) = who.app_instance_key() else { return Ok(None) };
    // No channel is in an app instance whose id no server makes, and whoever asks exists nevertheless.
    let instance = arn.app_instance_key();
    let rows =
        tx.rows(select_standing!("", ""), values![home, who.kind(), who.id(), instance, arn.id()], |row| {
            standing(row, who, arn)
        })?;
    Ok(rows.into_iter().reduce(Standing::and))
}

/// What is asked for a look of somebody whose standing is known: their token alone; nothing where that is all.
pub(crate) fn query_rest(Look { further, .. }: &Look, who: Key) -> Option<Query> {
    let Further::Token { operation, token } = further else { return None };
    let sql = "SELECT created_at, input, result FROM request_token
               WHERE owner = $1 AND operation = $2 AND token = $3";
    Some(Query { sql, values: owned(values![who, operation, token]) })
}

fn owned(values: &[Value<'_>]) -> Vec<Value<'static>> {
    values.iter().map(Value::to_owned).collect()
}

/// What is asked for a look; nothing where whoever looks cannot exist.
pub(crate) fn query(Look { who, channel, further }: &Look) -> Option<Query> {
    let home = who.app_instance_key()?;
    let asked = owned(values![home, who.kind(), who.id(), channel.app_instance_key(), channel.id()]);
    let (sql, more) = match further {
        Further::Nothing => (select_standing!("", ""), Vec::new()),
        Further::Token { operation, token } => (
            select_standing!(
                "t.created_at, t.input, t.result, ",
                "LEFT JOIN request_token t ON t.owner = i.key AND t.operation = $6 AND t.token = $7"
            ),
            owned(values![operation, token]),
        ),
        Further::Status { place, message } => (
            select_standing!(
                "d.status_detail, d.sender, d.status, ",
                "LEFT JOIN message d ON d.sub_channel = COALESCE($6, c.key) AND d.key = $7"
            ),
            owned(values![place, message]),
        ),
    };
    Some(Query { sql, values: [asked, more].concat() })
}

/// How someone stands to a channel, and one thing more.
#[derive(Debug, Clone)]
pub struct Look {
    pub(crate) who: IdentityArn,
    pub(crate) channel: ChannelArn,
    pub(crate) further: Further,
}

/// What is looked at beside the standing.
#[derive(Debug, Clone)]
pub(crate) enum Further {
    Nothing,
    /// What an earlier request with their token led to.
    Token {
        operation: &'static str,
        token: ClientRequestToken,
    },
    /// How far a message has come, in this sub-channel, or in the channel itself.
    Status {
        place: Option<Key>,
        message: MessageKey,
    },
}

impl Look {
    /// How someone stands to a channel.
    pub fn standing(who: &IdentityArn, channel: &ChannelArn) -> Self {
        Self { who: who.clone(), channel: channel.clone(), further: Further::Nothing }
    }

    /// And what an earlier request of theirs with this token led to.
    #[must_use]
    pub fn and_token(self, operation: &'static str, token: &ClientRequestToken) -> Self {
        Self { further: Further::Token { operation, token: token.clone() }, ..self }
    }

    /// And how far a message has come, in this sub-channel, or in the channel itself.
    #[must_use]
    pub fn and_status(self, place: Option<Key>, message: MessageKey) -> Self {
        Self { further: Further::Status { place, message }, ..self }
    }
}

/// Reads one of the rows of a standing.
pub(crate) fn standing(row: &mut Row<'_>, who: &IdentityArn, arn: &ChannelArn) -> Result<Standing> {
    Ok(Standing {
        identity: Identity { key: row.read()?, arn: who.clone(), name: row.read()? },
        is_admin: row.read::<Option<Timestamp>>()?.is_some(),
        retention: row.read()?,
        is_moderator: row.read::<Option<Timestamp>>()?.is_some(),
        memberships: place(row)?.into_iter().collect(),
        flow: row.read()?,
        channel: row.read::<Option<Key>>()?.map(|_| channel(row, arn)).transpose()?,
    })
}

fn place(row: &mut Row<'_>) -> Result<Option<Place>> {
    let (belongs, last_target_at): (Option<_>, _) = row.read()?;
    Ok(belongs.map(|(sub_channel, kind)| Place { sub_channel, kind, last_target_at }))
}
