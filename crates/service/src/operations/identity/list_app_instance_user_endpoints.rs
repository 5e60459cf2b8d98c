//! `ListAppInstanceUserEndpoints`: the devices of a user, those that cannot be reached among them.

use super::endpoints::{id_of, owner, state_of};
use crate::prelude::*;

/// The request.
#[operation(GET "/app-instance-users/{appInstanceUserArn}/endpoints" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
pub struct ListAppInstanceUserEndpoints {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The endpoints.
    pub app_instance_user_endpoints: Vec<AppInstanceUserEndpointSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// An endpoint, in a list.
#[shape]
pub struct AppInstanceUserEndpointSummary {
    /// Whose.
    pub app_instance_user_arn: IdentityArn,
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Its name.
    pub name: Option<EndpointName>,
    /// What kind of push service reaches it.
    #[member("Type")]
    pub kind: EndpointType,
    /// Whether the user wants to be notified there.
    pub allow_messages: AllowMessages,
    /// Whether it can be reached.
    pub endpoint_state: Option<EndpointState>,
}

impl Read for ListAppInstanceUserEndpoints {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let owner = owner(tx, call, &self.app_instance_user_arn)?;
        let (page, after) = Page::of(self, call)?;
        let rows = store::endpoint::list(tx, owner, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |endpoint| endpoint.key);
        let app_instance_user_endpoints = rows
            .into_iter()
            .map(|endpoint| AppInstanceUserEndpointSummary {
                app_instance_user_arn: self.app_instance_user_arn.clone(),
                endpoint_id: id_of(endpoint.key),
                endpoint_state: Some(state_of(&endpoint)),
                name: endpoint.name,
                kind: endpoint.kind,
                allow_messages: endpoint.allow_messages,
            })
            .collect();
        Ok(Listed { app_instance_user_endpoints, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_hold_each_endpoint_once(world: &mut World) {
        let ana = world.user("ana");
        let mut ids: Vec<EndpointId> = (0..5)
            .map(|number| world.call(&endpoint_request(&ana, &format!("t{number}"))).unwrap().endpoint_id)
            .collect();
        ids.sort();
        let mut list = ListAppInstanceUserEndpoints {
            app_instance_user_arn: ana,
            max_results: Some(text("2")),
            next_token: None,
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |page| {
            seen.extend(page.app_instance_user_endpoints.into_iter().map(|endpoint| endpoint.endpoint_id));
            page.next_token
        });
        assert_eq!(seen, ids);
    }
}
