//! `ListAppInstances`: all app instances of the account in this region.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instances" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
pub struct ListAppInstances {}

/// The answer.
#[shape]
pub struct Listed {
    /// The app instances.
    pub app_instances: Vec<AppInstanceSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// An app instance, in a list.
#[shape]
pub struct AppInstanceSummary {
    /// Its ARN.
    pub app_instance_arn: AppInstanceArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

impl Read for ListAppInstances {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let (page, after) = Page::of(self, call)?;
        let rows = store::app_instance::list(tx, &call.surroundings.home, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |instance| instance.key);
        let app_instances = rows
            .into_iter()
            .map(|instance| AppInstanceSummary {
                app_instance_arn: instance.arn,
                name: instance.name,
                metadata: shown(instance.metadata),
            })
            .collect();
        Ok(Listed { app_instances, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_hold_every_instance_once(world: &mut World) {
        let mut made: Vec<_> = (0..6).map(|_| world.new_instance()).collect();
        made.push(world.instance().clone());
        made.sort();
        for length in ["1", "2", "50"] {
            let mut seen = Vec::new();
            let mut list = ListAppInstances { max_results: Some(length.parse().unwrap()), next_token: None };
            world.turn_pages(&mut list, |page| {
                seen.extend(page.app_instances.into_iter().map(|instance| instance.app_instance_arn));
                page.next_token
            });
            assert_eq!(seen, made, "in pages of {length}");
        }
    }
}
