//! What operators are told by whoever hands over what leaves the server.

use carillon_model::Key;
use carillon_store::Tx;
use serde_json::Value;

use crate::chat::operator;
use crate::error::Result;
use crate::front::service::Service;

impl Service {
    /// Tells operators of something, in a transaction that may run more than once; `about` is a channel that it
    /// concerns.
    pub fn tell_operators(
        &self,
        about: Key,
        detail_type: &'static str,
        detail: Value,
    ) -> impl Fn(&mut Tx) -> Result<()> + Send + Sync + 'static {
        let call = std::sync::Mutex::new(self.job("Report"));
        move |tx: &mut Tx| {
            let call = call.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            operator::tell(tx, &call, about, detail_type, &detail)
        }
    }
}
