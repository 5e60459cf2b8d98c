//! What policies say of many things of one kind, each asked for itself: of the channels of a search that names none.

use carillon_model::arn::Home;
use carillon_store::{self as store, Tx};

use crate::gate::{Among, Gate, texts};
use crate::verdict::Verdict;

/// A caller who passed the gate, and may not see everything behind it.
pub struct Sieve {
    gate: Gate,
    among: Among,
    home: Home,
}

impl Sieve {
    /// For whoever asks for things that the request does not name. Nothing where no policy tells one of them from
    /// another, which is the rule: then the gate, which asks about all of them, has decided about each.
    pub fn of(gate: &Gate, home: &Home) -> Option<Self> {
        let among = gate.asked.among.as_ref().filter(|_| !gate.caller.is_root())?;
        let mut policies = gate.caller.all_documents().filter_map(|held| held.document.policy());
        let tells_apart = gate.reads_resource_tags()
            || gate.in_context(home, |context| {
                policies.any(|policy| policy.tells_apart(&among.action, &among.prefix, context))
            });
        // Nobody watches it: whoever asks why is told of what their question names.
        let gate = || Gate { witness: None, ..gate.clone() };
        tells_apart.then(|| Self { gate: gate(), among: among.clone(), home: home.clone() })
    }

    /// On which of these ARNs, by the tags that they have in a snapshot, policies allow what is asked for.
    pub fn admits(&self, tx: &mut Tx, resources: &[&str]) -> store::Result<Vec<bool>> {
        let tags = if self.gate.reads_resource_tags() {
            store::tag::list_all(tx, resources)?.iter().map(|tags| texts(tags)).collect()
        } else {
            vec![Vec::new(); resources.len()]
        };
        Ok(self.gate.in_context(&self.home, |context| {
            let admits = |(resource, tags): (&&str, &Vec<_>)| {
                self.gate.verdict((&self.among.action, resource), tags, context) == Verdict::Allowed
            };
            resources.iter().zip(&tags).map(admits).collect()
        }))
    }
}
