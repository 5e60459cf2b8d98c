//! Whose data stands where: every column of every table is in one of two lists, with what an export of one person says
//! of it and what an erasure does to it. A test compares the lists with the tables as both engines have them, so that
//! a column that comes later is not forgotten.
//!
//! To add a column: a word in its table's line. To add a table: a line in [`PERSONAL`] where its rows are somebody's,
//! or hold what somebody said or is called; else one in [`IMPERSONAL`], with the reason.

mod export;
mod free_room;
#[cfg(test)]
mod tests;

pub use export::{Export, Item, Shown, policies_of};
pub use free_room::wipe;

/// A table whose rows are about people.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its primary key.
    key: &'static [&'static str],
    /// The columns that name whom a row is about; none where rows are copies, of which an export has the original.
    about: &'static [&'static str],
    /// What an export calls its rows; it is a list under this name.
    pub section: &'static str,
    /// Its columns, and how an export shows them.
    columns: &'static [(&'static str, Show)],
    /// What an erasure does to its rows. It is for whoever reads the list; `service::jobs::erase` does it, and tests
    /// search for what should be gone.
    pub erasure: &'static str,
}

/// How an export shows a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    /// As the text or the number that it is.
    Plain,
    /// As a time.
    Time,
    /// As what is in the JSON.
    Json,
    /// As yes or no.
    Flag,
    /// A user or a bot, by ARN and name.
    Person,
    /// A channel, by ARN and name.
    Channel,
    /// The id of a sub-channel, where it is not the channel itself.
    Place,
    /// The id of a message, and when it was sent.
    Message,
    /// Not at all: it says something of the store, and nothing of the person.
    Hidden,
}

use Show::{Channel, Flag, Hidden, Json, Message, Person, Place, Plain, Time};

/// The tables whose rows are about people.
pub const PERSONAL: &[Table] = &[
    Table {
        name: "identity",
        key: &["key"],
        about: &["key"],
        section: "User",
        columns: &[
            ("key", Hidden),
            ("app_instance", Hidden),
            ("kind", Hidden),
            ("id", Plain),
            ("name", Plain),
            ("metadata", Plain),
            ("created_at", Time),
            ("updated_at", Time),
            ("expiration_days", Plain),
            ("expiration_criterion", Plain),
            ("admin_since", Time),
            ("membership_count", Plain),
            ("deleted_at", Time),
            ("configuration", Json),
            ("leaving", Hidden),
            ("bereft_at", Hidden),
        ],
        erasure: "stays, as what old rows name; name and id are replaced, all else is emptied",
    },
    Table {
        name: "endpoint",
        key: &["owner", "key"],
        about: &["owner"],
        section: "Endpoints",
        columns: &[
            ("owner", Hidden),
            ("key", Plain),
            ("device", Hidden),
            ("name", Plain),
            ("kind", Plain),
            ("resource", Plain),
            ("device_token", Plain),
            ("voip_device_token", Plain),
            ("allow_messages", Plain),
            ("status", Plain),
            ("status_reason", Plain),
            ("created_at", Time),
            ("updated_at", Time),
        ],
        erasure: "deleted",
    },
    Table {
        name: "membership",
        key: &["channel", "member", "sub_channel"],
        about: &["member"],
        section: "Memberships",
        columns: &[
            ("channel", Channel),
            ("member", Hidden),
            ("sub_channel", Place),
            ("kind", Plain),
            ("invited_by", Person),
            ("created_at", Time),
            ("updated_at", Time),
            ("last_target_at", Time),
            ("read_at", Time),
            ("allow_notifications", Plain),
            ("filter_rule", Plain),
        ],
        erasure: "deleted, with preferences and read markers: the user leaves, and the others are told",
    },
    Table {
        name: "moderator",
        key: &["channel", "member"],
        about: &["member"],
        section: "ModeratorOf",
        columns: &[("channel", Channel), ("member", Hidden), ("created_by", Person), ("created_at", Time)],
        erasure: "deleted",
    },
    Table {
        name: "ban",
        key: &["channel", "member"],
        about: &["member"],
        section: "Bans",
        columns: &[("channel", Channel), ("member", Hidden), ("created_by", Person), ("created_at", Time)],
        erasure: "deleted",
    },
    Table {
        name: "channel",
        key: &["key"],
        about: &["created_by"],
        section: "ChannelsCreated",
        columns: &[
            ("key", Channel),
            ("app_instance", Hidden),
            ("id", Hidden),
            ("name", Hidden),
            ("mode", Hidden),
            ("privacy", Hidden),
            ("metadata", Plain),
            ("created_by", Hidden),
            ("created_at", Time),
            ("updated_at", Hidden),
            ("last_message_at", Hidden),
            ("sequence", Hidden),
            ("clock", Hidden),
            ("member_count", Hidden),
            ("maximum_sub_channels", Hidden),
            ("target_memberships_per_sub_channel", Hidden),
            ("minimum_membership_percentage", Hidden),
            ("expiration_days", Hidden),
            ("expiration_criterion", Hidden),
            ("deleted_at", Time),
            ("flow", Hidden),
            ("sub_channel_count", Hidden),
        ],
        erasure: "stays, as its members' channel; who made it is shown as erased",
    },
    Table {
        name: "message",
        key: &["sub_channel", "key"],
        about: &["sender", "target"],
        section: "Messages",
        columns: &[
            ("sub_channel", Place),
            ("key", Message),
            ("channel", Channel),
            ("sender", Person),
            ("target", Person),
            ("kind", Plain),
            ("persistence", Plain),
            ("status", Plain),
            ("status_detail", Plain),
            ("content", Plain),
            ("metadata", Plain),
            ("content_type", Plain),
            ("attributes", Json),
            ("push_notification", Json),
            ("redacted", Flag),
            ("edited_at", Time),
            ("updated_at", Time),
            ("released", Flag),
        ],
        erasure: "of those that they sent the shell stays, redacted; one that nobody else saw is deleted. What others \
                  sent to them is the others'",
    },
    Table {
        name: "in_flight",
        key: &["channel", "run"],
        about: &["sender", "target"],
        section: "MessagesInFlows",
        columns: &[
            ("channel", Channel),
            ("run", Hidden),
            ("sub_channel", Place),
            ("message", Message),
            ("operation", Plain),
            ("persistence", Plain),
            ("sender", Person),
            ("target", Person),
            ("said", Json),
            ("revised", Json),
            ("processors", Hidden),
            ("stage", Hidden),
            ("secret", Hidden),
            ("answered", Hidden),
            ("phase", Hidden),
            ("status", Plain),
            ("detail", Plain),
            ("accepted_at", Time),
            ("updated_at", Time),
            ("attempts", Hidden),
            ("tried_since", Hidden),
            ("due_at", Hidden),
            ("lease", Hidden),
            ("function", Hidden),
        ],
        erasure: "deleted, where they sent it: a flow goes no further with it",
    },
    Table {
        name: "request_token",
        key: &["owner", "operation", "token"],
        about: &["owner"],
        section: "RequestTokens",
        columns: &[
            ("owner", Hidden),
            ("operation", Plain),
            ("token", Plain),
            ("input", Hidden),
            ("result", Plain),
            ("created_at", Time),
        ],
        erasure: "deleted, theirs and those of whoever made them",
    },
    Table {
        name: "tag",
        key: &["resource", "key"],
        about: &["resource"],
        section: "Tags",
        columns: &[("resource", Hidden), ("key", Plain), ("value", Plain)],
        erasure: "deleted, where they are of the user",
    },
    Table {
        name: "erasure",
        key: &["person"],
        about: &["person"],
        section: "Erasures",
        columns: &[
            ("person", Hidden),
            ("app_instance", Hidden),
            ("id", Hidden),
            ("keeps_messages", Flag),
            ("asked_at", Time),
            ("stage", Plain),
            ("begun_at", Time),
            ("held", Json),
            ("endpoints", Plain),
            ("messages", Plain),
            ("unseen", Plain),
            ("events", Plain),
            ("outgoing", Plain),
            ("tokens", Plain),
            ("ended_at", Time),
        ],
        erasure: "is the erasure itself; it stays, as counts, without the id",
    },
    Table {
        name: "outbox",
        key: &["channel", "sequence"],
        about: &[],
        section: "",
        columns: &[
            ("channel", Hidden),
            ("sequence", Hidden),
            ("at", Hidden),
            ("kind", Hidden),
            ("message_type", Hidden),
            ("audience", Hidden),
            ("change", Hidden),
            ("payload", Hidden),
            ("message", Hidden),
            ("reason", Hidden),
            ("departed", Hidden),
            ("named", Hidden),
        ],
        erasure: "payloads are rewritten: who it was, and what they said. The rest are keys",
    },
    Table {
        name: "outgoing",
        key: &["shard", "queue", "channel", "sequence", "part"],
        about: &[],
        section: "",
        columns: &[
            ("shard", Hidden),
            ("queue", Hidden),
            ("channel", Hidden),
            ("sequence", Hidden),
            ("part", Hidden),
            ("at", Hidden),
            ("body", Hidden),
        ],
        erasure: "records and reports are rewritten; pushes, and questions to bots, are deleted",
    },
];

/// The tables that hold nothing of anybody: their columns, and why.
pub const IMPERSONAL: &[(&str, &str, &str)] = &[
    ("setting", "name value", "values of the server"),
    (
        "app_instance",
        "key name metadata created_at updated_at user_count admin_count channel_count elastic_channel_count \
         retention_days retention_destroys_at bot_count deleted_at",
        "of the application",
    ),
    (
        "sub_channel",
        "channel key created_at regular_count taken moderator_count is_open task receiver",
        "counts, and keys of places",
    ),
    ("streaming_configuration", "app_instance data_type resource", "of the application"),
    ("channel_flow", "app_instance key name processors created_at updated_at", "of the application"),
    ("search_instance", "app_instance since is_ending after walked ended_at", "how far an index has come"),
    ("search_place", "place channel version position sequence turn", "the same, of a place"),
    (
        "search_run",
        "place level part run least greatest body",
        "keys of messages, and of whom they are for; of what they say a hash under a key of the server, 32 bits a word",
    ),
    ("search_late", "place message times", "keys of messages"),
    ("lease", "name owner until", "of servers"),
    ("lane", "key", "keys of app instances"),
    ("beat", "node number floor body", "of servers: numbers of events, for a minute"),
    ("migration", "version applied_at needs", "of the schema"),
    ("migration_lock", "key", "of the schema"),
    (
        "iam_principal",
        "id kind folded name path description trust session_seconds_max revoked_before tags created_at",
        "of operators and programs: users of the chat sign with keys of theirs, or with sessions that are not stored",
    ),
    ("iam_access_key", "id principal secret active created_at", "of operators and programs"),
    (
        "iam_inline_policy",
        "principal name document",
        "what operators allow; an export says which name the person, an erasure says so, too",
    ),
    (
        "iam_policy",
        "id folded name path description tags default_version last_version created_at updated_at",
        "what operators allow",
    ),
    (
        "iam_policy_version",
        "policy version document created_at",
        "what operators allow; as for inline policies",
    ),
    ("iam_attachment", "principal policy", "what operators allow"),
    ("iam_oidc_provider", "url client_ids thumbprints tags created_at", "of identity providers"),
];
