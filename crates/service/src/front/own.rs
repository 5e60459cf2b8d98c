//! What Carillon adds of its own and a policy decides: whoever signed the request must be allowed an action of
//! `carillon:` on `*`. What is answered is the affair of whoever asks here first.

use std::sync::Arc;

use bytes::Bytes;
use carillon_access::{Ask, Asked, Caller, Check, Gate};
use http::Response;
use http::request::Parts;

use crate::error::{Error, ErrorCode, Result};
use crate::front::dispatch::{Fault, respond};
use crate::front::request::{Answered, Signed, surrounding};
use crate::front::service::Service;
use crate::operation::Effect;

/// What such actions begin with.
const SERVICE: &str = "carillon";

impl Service {
    /// Lets a request without a body pass that only reads, if who signed it may do this; or answers it.
    pub async fn admit_own(
        self: &Arc<Self>,
        parts: &Parts,
        name: &str,
    ) -> std::result::Result<(), Response<Bytes>> {
        let request_id = self.new_id();
        let action = format!("{SERVICE}:{name}");
        let caller = self.verify_bare(parts, 0).map_err(|refusal| {
            self.turned_away(parts, &request_id, (refusal.exception(), 403), Some((&action, None)));
            respond(Answered::NONE, Err(Fault::FrontDoor(refusal)), &request_id)
        })?;
        let mut draft = self.draft(parts, &request_id, || Some(caller.arn(self.home().account())));
        draft.asks(SERVICE, name, Effect::Read);
        let mut admitted = self.pass_own(parts, &caller, action).await;
        if let Err(error) = &admitted {
            let line = self.line_for(Effect::Read).await;
            let (result, status) = (error.code.as_str(), error.code.status());
            let recorded = match line {
                Ok(line) => self.record(line, draft, result, status).await,
                Err(error) => Err(error),
            };
            admitted = recorded.and(admitted);
        }
        admitted.map_err(|error| {
            let mut response = respond(Answered::NONE, Err(Fault::Operation(error)), &request_id);
            response.extensions_mut().insert(Signed);
            response
        })
    }

    async fn pass_own(&self, parts: &Parts, caller: &Caller, action: String) -> Result<()> {
        if caller.is_root() {
            return Ok(());
        }
        self.may_be_refused(caller)?;
        let asked = Asked { checks: vec![Check(vec![Ask::new(action, "*")])], ..Asked::default() };
        let now = self.surroundings().clock.now();
        let gate =
            Gate { caller: caller.clone(), asked, surrounding: surrounding(parts), now, witness: None };
        let passed: Result<()> = match gate.pass_early(self.home()) {
            Ok(None) => Ok(()),
            // There are no tags of everything; a condition on them is judged all the same.
            Ok(Some(gate)) => {
                let home = self.home().clone();
                self.store().read(move |tx| gate.pass_in::<Error>(tx, &home)).await
            }
            Err(denied) => Err(denied.into()),
        };
        if passed.as_ref().is_err_and(|error| error.code == ErrorCode::AccessDenied) {
            self.count_refusal(caller)?;
        }
        passed
    }
}
