//! Which action is checked on which ARNs.
//!
//! The action is the operation's name, and its ARNs are the bearer's and the first that the path names: a new
//! operation needs a line here only where that is not so. What an operation makes has no ARN yet; where its id is
//! not known, `*` stands for it, which only a policy about all of its kind matches.

use std::borrow::Cow;

use carillon_access::{Among, Ask, Asked, Check};
use carillon_model::IdentityArn;
use carillon_model::arn::Home;
use serde_json::Value;

use crate::operation::Operation;

/// Where an operation's ARNs are, if not with the bearer and at the beginning of the path.
#[derive(Clone, Copy)]
enum Place {
    /// It knows none.
    Nowhere,
    /// All app instances.
    AppInstances,
    /// The member of this name.
    Member(&'static str),
    /// All of a kind, below the app instance that a member names.
    Below(&'static str),
    /// The user that is being made.
    NewUser,
    /// The app instance, or its administrator: published policies name either.
    AppInstanceOrAdmin,
    /// The app instance, or all of its users: who gives or takes power over everybody, must have it over everybody.
    /// The one ARN alone is what a policy may give users over themselves.
    AppInstanceOrAllUsers,
    /// Also the flow, in the path or in the body.
    WithFlow,
    /// The flow; the published table says the channel.
    FlowOrChannels,
    /// Also the app that pushes.
    WithPushApplication,
    /// Who acts, and the channels that are named; without any, all of the app instance, and each that is shown.
    BearerAndChannels,
}

fn exception(operation: &str) -> Option<Place> {
    Some(match operation {
        "AssociateChannelFlow" | "DisassociateChannelFlow" => Place::WithFlow,
        "CreateAppInstance" | "GetMessagingSessionEndpoint" => Place::Nowhere,
        "CreateAppInstanceAdmin" | "DeleteAppInstanceAdmin" => Place::AppInstanceOrAllUsers,
        "DescribeAppInstanceAdmin" | "ListAppInstanceAdmins" => Place::AppInstanceOrAdmin,
        "CreateAppInstanceBot" | "ListAppInstanceBots" => Place::Below("bot"),
        "CreateAppInstanceUser" => Place::NewUser,
        "CreateChannelFlow" => Place::Member("app_instance_arn"),
        "DeleteChannelFlow" => Place::FlowOrChannels,
        "ListAppInstances" => Place::AppInstances,
        "ListAppInstanceUsers" => Place::Below("user"),
        "ListChannelFlows" => Place::Below("channel-flow"),
        "ListChannelsAssociatedWithChannelFlow" => Place::Member("channel_flow_arn"),
        "ListTagsForResource" | "TagResource" | "UntagResource" => Place::Member("resource_arn"),
        "RegisterAppInstanceUserEndpoint" => Place::WithPushApplication,
        "ListUnreadCounts" | "SearchChannelMessages" => Place::BearerAndChannels,
        _ => return None,
    })
}

/// The older name of an action, which policies may still use.
fn alias(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "DeleteMessagingStreamingConfigurations" => "chime:DeleteAppInstanceStreamingConfigurations",
        "GetMessagingStreamingConfigurations" => "chime:GetAppInstanceStreamingConfigurations",
        "PutMessagingStreamingConfigurations" => "chime:PutAppInstanceStreamingConfigurations",
        _ => return None,
    })
}

/// What an operation asks for.
pub(crate) fn asked<O: Operation>(operation: &O, home: &Home) -> Asked {
    let place = exception(O::NAME);
    let bearer = operation.bearer().map(IdentityArn::as_str);
    if place.is_none() && !tagged(O::NAME) {
        let resources = bearer_and_first(bearer, &operation.labels());
        return Asked { checks: checks(O::NAME, resources), ..Asked::default() };
    }
    let members: Value = serde_json::from_slice(&operation.canonical()).unwrap_or_default();
    let request = Request { home, bearer, labels: operation.labels(), members: &members };
    let mut asked = Asked { checks: request.checks(O::NAME, place), ..Asked::default() };
    if matches!(place, Some(Place::BearerAndChannels)) && members["channel_arns"].is_null() {
        let action = format!("chime:{}", O::NAME).into();
        asked.among = request.channels().map(|prefix| Among { action, prefix });
    }
    asked.tags = list(&members["tags"], |tag| Some((text(&tag["Key"])?, text(&tag["Value"])?)));
    asked.untagged = list(&members["tag_keys"], text);
    let new = request.new_resource(O::NAME);
    if new.is_some() || matches!(place, Some(Place::Below(_))) {
        asked.origins = request.origins();
    }
    if let Some(new) = new {
        if !asked.tags.is_empty() {
            asked.checks.extend(checks("TagResource", vec![new.clone()]));
        }
        if !members["expiration_settings"].is_null() {
            let (extra, resources) = match bearer {
                Some(bearer) => ("PutChannelExpirationSettings", vec![bearer.to_owned(), new]),
                None => ("PutAppInstanceUserExpirationSettings", vec![new]),
            };
            asked.checks.extend(checks(extra, resources));
        }
    }
    asked
}

/// The ARN of who acts, and the first that the path names.
fn bearer_and_first(bearer: Option<&str>, labels: &[&str]) -> Vec<String> {
    let first = labels.iter().copied().find(|label| label.starts_with("arn:"));
    bearer.into_iter().chain(first).map(str::to_owned).collect()
}

/// Whether an operation may give tags, or take them away.
fn tagged(operation: &str) -> bool {
    operation == "CreateChannel" || exception(operation).is_some()
}

fn checks(operation: &str, mut resources: Vec<String>) -> Vec<Check> {
    if resources.is_empty() {
        // Without a bearer where one is needed: refused after the gate, and not let through by it.
        resources.push("*".to_owned());
    }
    let actions =
        std::iter::once(Cow::Owned(format!("chime:{operation}"))).chain(alias(operation).map(Cow::from));
    let actions: Vec<Cow<'static, str>> = actions.collect();
    let check = |resource: String| {
        Check(actions.iter().map(|action| Ask::new(action.clone(), resource.clone())).collect())
    };
    resources.into_iter().map(check).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    value.as_array().into_iter().flatten().filter_map(read).collect()
}

struct Request<'a> {
    home: &'a Home,
    bearer: Option<&'a str>,
    labels: Vec<&'a str>,
    members: &'a Value,
}

impl Request<'_> {
    fn member(&self, name: &str) -> String {
        text(&self.members[name]).unwrap_or_default()
    }

    fn below(&self, kind: &str, id: Option<&str>) -> String {
        format!("{}/{kind}/{}", self.member("app_instance_arn"), id.unwrap_or("*"))
    }

    /// What the ARNs of the channels begin with of the app instance that is named, or of whoever acts.
    fn channels(&self) -> Option<String> {
        let of_bearer = || Some(self.bearer?.parse::<IdentityArn>().ok()?.app_instance().as_str().to_owned());
        let instance = text(&self.members["app_instance_arn"]).or_else(of_bearer)?;
        Some(format!("{instance}/channel/"))
    }

    /// The app instance, where one is named, and whoever acts.
    fn origins(&self) -> Vec<String> {
        let instance = text(&self.members["app_instance_arn"]);
        instance.into_iter().chain(self.bearer.map(str::to_owned)).collect()
    }

    fn app_instances(&self) -> String {
        format!("arn:aws:chime:{}:{}:app-instance/*", self.home.region(), self.home.account())
    }

    fn new_resource(&self, operation: &str) -> Option<String> {
        Some(match operation {
            "CreateAppInstance" => self.app_instances(),
            "CreateAppInstanceBot" => self.below("bot", None),
            "CreateAppInstanceUser" => self.below("user", Some(&self.member("app_instance_user_id"))),
            "CreateChannel" => self.below("channel", text(&self.members["channel_id"]).as_deref()),
            "CreateChannelFlow" => self.below("channel-flow", None),
            _ => return None,
        })
    }

    fn checks(&self, operation: &str, place: Option<Place>) -> Vec<Check> {
        let usual = || bearer_and_first(self.bearer, &self.labels);
        let either = |resources: Vec<String>| {
            vec![Check(checks(operation, resources).into_iter().flat_map(|check| check.0).collect())]
        };
        match place {
            None => checks(operation, usual()),
            Some(Place::Nowhere) => checks(operation, Vec::new()),
            Some(Place::AppInstances) => checks(operation, vec![self.app_instances()]),
            Some(Place::Member(name)) => checks(operation, vec![self.member(name)]),
            Some(Place::Below(kind)) => checks(operation, vec![self.below(kind, None)]),
            Some(Place::NewUser) => {
                checks(operation, vec![self.below("user", Some(&self.member("app_instance_user_id")))])
            }
            Some(Place::AppInstanceOrAdmin) => {
                let admin = text(&self.members["app_instance_admin_arn"]);
                let admin = admin.unwrap_or_else(|| self.below("user", None));
                either(vec![self.member("app_instance_arn"), admin])
            }
            Some(Place::AppInstanceOrAllUsers) => {
                let mut all = either(vec![self.member("app_instance_arn"), self.below("user", None)]);
                let admin = checks(operation, vec![self.member("app_instance_admin_arn")]);
                let only_denied = admin.into_iter().flat_map(|check| check.0);
                all[0].0.extend(only_denied.map(|ask| Ask { suffices: false, ..ask }));
                all
            }
            Some(Place::WithFlow) => {
                let mut resources = usual();
                resources.push(self.member("channel_flow_arn"));
                checks(operation, resources)
            }
            Some(Place::FlowOrChannels) => {
                let flow = self.member("channel_flow_arn");
                let channels = flow.split("/channel-flow/").next().unwrap_or_default();
                either(vec![flow.clone(), format!("{channels}/channel/*")])
            }
            Some(Place::BearerAndChannels) => {
                let mut channels = list(&self.members["channel_arns"], text);
                if channels.is_empty() {
                    channels.extend(self.channels().map(|channels| format!("{channels}*")));
                }
                checks(operation, usual().into_iter().chain(channels).collect())
            }
            Some(Place::WithPushApplication) => {
                let push = Ask::new("mobiletargeting:GetApp", self.member("resource_arn"));
                let mut all = checks(operation, usual());
                all.push(Check(vec![push]));
                all
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::constraints::{request, sample};
    use crate::front::query::tests::{done, new_user};
    use crate::testing::*;

    /// Grants what is refused, and nothing else, until nothing is: what was granted is what the operation asks for.
    fn asked(world: &mut World, route: &crate::front::route::Route) -> Vec<String> {
        let mut granted = Vec::new();
        loop {
            let statements: Vec<_> = granted
                .iter()
                .map(|(action, resource)| json!({"Effect": "Allow", "Action": action, "Resource": resource}))
                .chain([json!({"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"})])
                .collect();
            let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
            let own = world.sign_with(Credentials::root());
            done(
                world,
                "PutUserPolicy",
                &[("UserName", "app"), ("PolicyName", "p"), ("PolicyDocument", &document)],
            );
            world.sign_with(own);
            let (_, answer) = request(world, route, |member| match member.name {
                // One operation takes any text here; clients give it the ARN.
                "AppInstanceUserArn" => Some(json!(format!("{INSTANCE}/user/u"))),
                name => Some(sample(name, &member.shape)),
            });
            let message = answer["Message"].as_str().unwrap_or_default();
            let Some((_, ask)) = message.split_once(" is not authorized to perform: ") else { break };
            let (action, resource) = ask.split_once(" on resource: ").unwrap();
            let (resource, _) = resource.split_once(" because no identity-based policy allows the ").unwrap();
            granted.push((action.to_owned(), resource.to_owned()));
        }
        let short = |resource: &str| resource.replace(INSTANCE, "A");
        granted.iter().map(|(action, resource)| format!("{action} on {}", short(resource))).collect()
    }

    const INSTANCE: &str =
        "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001";

    #[test]
    fn every_operation_asks_for_what_the_published_table_says() {
        World::once(|world| {
            let statement = json!({"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"});
            let policy = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
            let user = new_user(world, "app", &policy);
            world.sign_with(user);
            let mut table = String::new();
            for route in crate::front::route::all() {
                let asked = asked(world, &route);
                assert!(!asked.is_empty(), "{} asks for nothing", route.name);
                table.extend([route.name, ": ", &asked.join(", "), "\n"]);
            }
            assert_eq!(table, include_str!("actions/asked.txt"));
        });
    }
}
