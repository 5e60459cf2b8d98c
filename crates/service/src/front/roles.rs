//! The roles that are built in: those of users who have exchanged a token of their application for credentials.
//!
//! A session of theirs has two tags, the app instance and the user, and the policy speaks of nothing else.

use carillon_access::BuiltIn;
use serde_json::{Value, json};

/// What a user may do with credentials that were exchanged; each is a role that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of users for whom somebody vouches.
    User,
    /// Of users whom nobody knows.
    Anonymous,
    /// Of either, where they may not list and describe who else there is.
    Secluded,
}

/// The tag of a session that names its user.
pub(crate) const USER_TAG: &str = "UserUUID";
/// The tag of a session that names its app instance.
pub(crate) const APP_INSTANCE_TAG: &str = "AppInstanceId";
/// What the ARN of everything in the app instance begins with.
const APP_INSTANCE: &str = "arn:aws:chime:*:*:app-instance/${aws:PrincipalTag/AppInstanceId}";

/// What a user does as oneself.
const ACTIONS: &[&str] = &[
    "AssociateChannelFlow",
    "BatchCreateChannelMembership",
    "Connect",
    "CreateChannel",
    "CreateChannelBan",
    "CreateChannelMembership",
    "CreateChannelModerator",
    "DeleteChannel",
    "DeleteChannelBan",
    "DeleteChannelMembership",
    "DeleteChannelModerator",
    "DeregisterAppInstanceUserEndpoint",
    "DescribeAppInstanceUserEndpoint",
    "DescribeChannel",
    "DescribeChannelBan",
    "DescribeChannelFlow",
    "DescribeChannelMembership",
    "DescribeChannelMembershipForAppInstanceUser",
    "DescribeChannelModeratedByAppInstanceUser",
    "DescribeChannelModerator",
    "DisassociateChannelFlow",
    "GetChannelMembershipPreferences",
    "GetChannelMessage",
    "GetChannelMessageStatus",
    "ListAppInstanceUserEndpoints",
    "ListChannelBans",
    "ListChannelFlows",
    "ListChannelMemberships",
    "ListChannelMembershipsForAppInstanceUser",
    "ListChannelMessages",
    "ListChannelModerators",
    "ListChannelReadMarkers",
    "ListChannels",
    "ListChannelsModeratedByAppInstanceUser",
    "ListSubChannels",
    "ListUnreadCounts",
    "PutChannelMembershipPreferences",
    "RedactChannelMessage",
    "RegisterAppInstanceUserEndpoint",
    "SearchChannelMessages",
    "SearchChannels",
    "SendChannelMessage",
    "UpdateAppInstanceUserEndpoint",
    "UpdateChannel",
    "UpdateChannelMessage",
    "UpdateChannelReadMarker",
];

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::User, Self::Anonymous, Self::Secluded];

    /// The id of the role. Ids of other roles have no such letters.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::User => "exchange-user",
            Self::Anonymous => "exchange-anonymous",
            Self::Secluded => "exchange-secluded",
        }
    }

    fn policy(self) -> String {
        let actions: Vec<_> = ACTIONS.iter().map(|action| format!("chime:{action}")).collect();
        let within = |path: &str| format!("{APP_INSTANCE}{path}");
        let own =
            [within("/user/${aws:PrincipalTag/UserUUID}"), within("/channel/*"), within("/channel-flow/*")];
        let everywhere =
            ["chime:GetMessagingSessionEndpoint".to_owned(), "mobiletargeting:GetApp".to_owned()];
        let mut statements = vec![allow(&actions, &own), allow(&everywhere, &["*".to_owned()])];
        if self != Self::Secluded {
            let seeing = ["ListAppInstanceUsers", "DescribeAppInstanceUser", "DescribeAppInstance"];
            let seeing = seeing.map(|action| format!("chime:{action}"));
            statements.push(allow(&seeing, &[within("/user/*"), within("")]));
        }
        json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
    }

    /// The role, as access knows it.
    pub(crate) fn built_in(self) -> BuiltIn {
        let name = match self {
            Self::User => "CarillonExchangeUser",
            Self::Anonymous => "CarillonExchangeAnonymous",
            Self::Secluded => "CarillonExchangeSecluded",
        };
        BuiltIn { id: self.id(), name, policy: self.policy() }
    }
}

fn allow(actions: &[String], resources: &[String]) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_can_be_read_and_their_actions_are_operations() {
        let known: Vec<&str> = crate::front::route::all().iter().map(|route| route.name).collect();
        for action in ACTIONS {
            assert!(
                *action == "Connect" || known.contains(action) || action.contains("Endpoint"),
                "{action}"
            );
        }
        for role in Role::ALL {
            carillon_auth::policy::Policy::parse(&role.policy()).unwrap();
        }
    }
}
