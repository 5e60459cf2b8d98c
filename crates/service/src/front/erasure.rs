//! What an operator asks to be erased of a person. The store keeps the order, and `jobs::erase` does it.

use carillon_model::Key;
use carillon_model::arn::IdentityArn;
use carillon_store::erasure::Erasure;
use carillon_store::{self as store, Lane, Tx};

use crate::error::{Error, Result};
use crate::front::audit::{Record, Resources};
use crate::front::rounds::Runner;
use crate::front::service::Service;
use crate::jobs;

/// What the audit log calls it.
const ACTION: &str = "carillon:EraseUser";

impl Service {
    /// Asks for the erasure of everyone who has, or had, this ARN; answers who they are. The line of the audit log
    /// names them as they are called from then on.
    pub async fn ask_erasure(&self, arn: &IdentityArn, keeps_messages: bool) -> Result<Vec<Key>> {
        let (who, now) = (arn.clone(), self.surroundings().clock.now());
        let line = self.line().await?;
        let asked = self.store().write(Lane::instance(&arn.app_instance()), move |tx: &mut Tx| {
            let people = store::erasure::list_named(tx, &who)?;
            people.iter().try_for_each(|person| store::erasure::ask(tx, *person, keeps_messages, now))?;
            Ok::<_, Error>(people)
        });
        let people = asked.await?;
        if let Some(first) = people.first() {
            let new = arn.app_instance().user(&format!("erased-{first}"));
            let resources = Resources::of([("AppInstanceUserArn", new.as_str())]);
            let (id, real) = (self.new_id(), self.surroundings().clock.real());
            line.say(|| Record::of_root(ACTION, resources, self.home(), (real, &id)));
        }
        Ok(people)
    }

    /// How far the erasures of these people have come.
    pub async fn erasures(&self, people: &[Key]) -> Result<Vec<Erasure>> {
        let people = people.to_vec();
        let find = move |tx: &mut Tx| {
            let found = people.iter().map(|person| store::erasure::find(tx, *person));
            found.filter_map(std::result::Result::transpose).collect::<store::Result<Vec<_>>>()
        };
        Ok(self.store().read(find).await?)
    }

    /// Whether something of somebody whose erasure is done may be left in free room.
    pub async fn has_erased_in_free_room(&self) -> Result<bool> {
        Ok(!self.store().read(store::erasure::list_in_free_room).await?.is_empty())
    }

    /// The policies that name somebody.
    pub async fn policies_naming(&self, arn: &IdentityArn) -> Result<Vec<String>> {
        let arn = arn.clone();
        Ok(self.store().read(move |tx: &mut Tx| store::personal::policies_of(tx, &arn)).await?)
    }

    /// Drives a round of all that an erasure needs, for a command on a store that no server serves: whoever had the
    /// leases of these jobs is gone. Answers what failed.
    pub async fn erase_round(&self, node: Key) -> Result<u64> {
        let mut failed = 0;
        for job in [&jobs::leave_channels::JOB, &jobs::destroy::JOB, &jobs::erase::JOB] {
            let name = job.name;
            let taken_up = self.store().read(move |tx: &mut Tx| store::lease::find(tx, name)).await?;
            let runner = Runner { node, rows_max: i64::MAX, stopped: &|| false, taken_up };
            let outcome = self.round(job, &runner).await;
            failed += outcome.failed;
            outcome.end?;
        }
        Ok(failed)
    }
}
