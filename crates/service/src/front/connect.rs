//! `/connect`: who may open a socket.
//!
//! The upgrade is accepted; a refusal is the close code that follows, because a client that is refused the upgrade
//! itself takes that for a lost network and tries again. Only one that is to do so, later, is refused that. Nothing
//! here knows what a socket is.

use std::time::Duration;

use carillon_access::{Ask, Asked, Caller, Check, Gate};
use carillon_auth::{Refusal, parse_query};
use carillon_model::arn::IdentityKind;
use carillon_model::event::EventId;
use carillon_model::session::{Close, Entrance};
use carillon_model::{IdentityArn, Timestamp};
use carillon_store as store;
use http::request::Parts;

use crate::error::{Error, ErrorCode};
use crate::front::audit::Draft;
use crate::front::request::surrounding;
use crate::front::service::Service;
use crate::operation::Effect;

/// The most characters of a session id.
const SESSION_ID_LENGTH_MAX: usize = 128;

/// Which channels come first, where a user has more than are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefetch {
    /// Those with unread messages; among them, and among the others, those with the latest.
    Unread,
    /// Those with the latest message.
    LastMessage,
}

impl Prefetch {
    /// What the query of a connection asks for. An order alone asks for nothing; an order that is not known is
    /// the one that holds without.
    fn asked<'a>(find: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let asked = find("prefetch-on") == Some("connect");
        asked.then(|| match find("prefetch-sort-by") {
            Some("last-message-timestamp") => Self::LastMessage,
            _ => Self::Unread,
        })
    }
}

/// Someone who may open a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whose session it is to be, and what that may do.
    pub entrance: Entrance,
    /// The ARN of the user.
    pub arn: IdentityArn,
    /// Whether the user administers its app instance.
    pub is_admin: bool,
    /// What the client wants to be shown first, if anything.
    pub prefetch: Option<Prefetch>,
    /// What the client was told of last, if it wants to be shown what came after it.
    pub resume_from: Option<EventId>,
    /// When the credentials that opened it are over, by the service's clock.
    pub expires_at: Option<Timestamp>,
}

/// What a refused signature closes a socket with. A device's clock is nothing that its owner can guess, so it is named.
fn complaint(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Untimely(_) => {
            "the request was signed at another time: the clock of this device may be wrong"
        }
        _ => "the signature of the request was not accepted",
    }
}

/// What an error closes a socket with. It is logged here: the client learns only whether to come back.
pub(crate) fn failed(error: &Error) -> Close {
    if error.code == ErrorCode::ServiceUnavailable {
        return Close::OVERLOADED;
    }
    let source = error.source.as_ref().map(tracing::field::display);
    tracing::error!(%error, source, "a socket could not be served");
    Close::INTERNAL
}

/// What is asked of whoever opens a socket for a user.
pub(crate) fn ask_of_socket(user: &IdentityArn) -> Ask {
    Ask::new("chime:Connect", user.as_str())
}

impl Service {
    /// Checks the presigned request for a socket.
    pub async fn connect(&self, parts: &Parts) -> Result<Connection, Close> {
        let request_id = self.new_id();
        let late_ms = self.surroundings().quotas.connect_late_seconds * 1_000;
        let caller = self.verify_bare(parts, late_ms).map_err(|refusal| {
            tracing::debug!(%refusal, "a socket was refused");
            let close = Close::unsigned(complaint(&refusal));
            self.turned_away(parts, &request_id, (close.reason, close.code), None);
            close
        })?;
        let mut draft = self.draft(parts, &request_id, || Some(caller.arn(self.home().account())));
        draft.asks("chime", "Connect", Effect::Write);
        let line = self.line_for(Effect::Write).await.map_err(|error| failed(&error))?;
        let verdict = self.judge(parts, caller, &mut draft).await;
        let (result, status) = match &verdict {
            Ok(_) => ("OK", 101),
            Err(close) => (close.reason, close.code),
        };
        self.record(line, draft, result, status).await.map_err(|error| failed(&error))?;
        verdict
    }

    async fn judge(&self, parts: &Parts, caller: Caller, draft: &mut Draft) -> Result<Connection, Close> {
        let query = parts.uri.query().unwrap_or_default();
        let parameters = parse_query(query).ok_or(Close::forbidden("the query is not UTF-8"))?;
        let find =
            |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let arn = find("userArn").unwrap_or_default();
        draft.connects(arn);
        let session_id = find("sessionId").unwrap_or_default();
        if session_id.is_empty() || SESSION_ID_LENGTH_MAX < session_id.chars().count() {
            return Err(Close::forbidden("sessionId must have 1 to 128 characters"));
        }
        let arn = arn.parse::<IdentityArn>();
        let owned = |arn: &IdentityArn| {
            arn.kind() == IdentityKind::User && self.surroundings().home.owns(arn.as_str())
        };
        let arn = arn.ok().filter(owned).ok_or(Close::forbidden("userArn must be the ARN of a user"))?;
        let (wanted, home, expires_at) = (arn.clone(), self.home().clone(), caller.expires_at());
        self.may_be_refused(&caller).map_err(|_| Close::TOO_OFTEN)?;
        let (refused, bound_to) = (caller.clone(), caller.bound_to());
        let gate = self.gate_of_socket(caller, &arn, parts);
        let found = self.store().read(move |tx| {
            gate.pass_in::<Error>(tx, &home)?;
            Ok::<_, Error>(store::identity::find(tx, &wanted)?)
        });
        let found = found.await.map_err(|error| {
            if error.code == ErrorCode::AccessDenied {
                tracing::debug!(%error, "a socket was refused");
                if self.count_refusal(&refused).is_err() {
                    return Close::TOO_OFTEN;
                }
                return Close::forbidden("policies do not allow chime:Connect on the ARN of this user");
            }
            failed(&error)
        })?;
        let found = found.ok_or(Close::forbidden("the user does not exist"))?;
        let user = found.identity.key;
        if bound_to.is_some_and(|bound| bound != user) {
            return Err(Close::forbidden("the user whom the credentials are of was deleted"));
        }
        let begins_in = match &self.limiter {
            Some(limiter) => limiter.connect(&arn).ok_or(Close::TOO_MANY_WAIT)?,
            None => Duration::ZERO,
        };
        let quotas = self.surroundings().quotas;
        let entrance = Entrance {
            user,
            client: session_id.to_owned(),
            admitted_at: self.surroundings().clock.now(),
            sessions_max: usize::try_from(quotas.connections_per_user_max).unwrap_or(usize::MAX),
            begins_in,
            frames_max: u32::try_from(quotas.connection_frames_per_second_max).unwrap_or(u32::MAX),
        };
        Ok(Connection {
            entrance,
            arn,
            is_admin: found.is_admin,
            prefetch: Prefetch::asked(find),
            // What is no id says nothing of what was told.
            resume_from: find("resume-from").map(|id| id.parse().unwrap_or(EventId::BEGINNING)),
            expires_at,
        })
    }

    fn gate_of_socket(&self, caller: Caller, user: &IdentityArn, parts: &Parts) -> Gate {
        let asked = Asked { checks: vec![Check(vec![ask_of_socket(user)])], ..Asked::default() };
        let now = self.surroundings().clock.now();
        Gate { caller, asked, surrounding: surrounding(parts), now, witness: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::limiter::CONNECTIONS_HELD_MAX;
    use crate::front::query::tests::new_user;
    use crate::front::rates::{Rate, Rates};
    use crate::front::why::tests::NOTHING;
    use crate::testing::*;

    #[engine_test]
    fn a_user_connects_once_a_second(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        world.set_rates(Rates::only(Rate::Connections, 1));
        let begins_in = |world: &mut World, who| {
            world.connect_with(who, "sessionId=1").map(|connection| connection.entrance.begins_in.as_millis())
        };
        assert_eq!(begins_in(world, &ana), Ok(0));
        for held in 1..=CONNECTIONS_HELD_MAX {
            assert_eq!(begins_in(world, &ana), Ok(u128::from(held) * 1_000));
        }
        assert_eq!(begins_in(world, &ana), Err(Close::TOO_MANY_WAIT));
        assert_eq!(begins_in(world, &bob), Ok(0));
        world.advance_ms(999);
        assert_eq!(begins_in(world, &ana), Err(Close::TOO_MANY_WAIT));
        world.advance_ms(1);
        assert_eq!(begins_in(world, &ana), Ok(u128::from(CONNECTIONS_HELD_MAX) * 1_000));
        world.advance_ms(10_500);
        // Half of a turn is none.
        assert_eq!(begins_in(world, &ana), Ok(1_000));
        world.advance_ms(20_000);
        assert_eq!(begins_in(world, &ana), Ok(0));
        world.set_rates(Rates::only(Rate::Connections, 4));
        let turns: Vec<_> = (0..7).map(|_| begins_in(world, &ana).unwrap()).collect();
        assert_eq!(turns, [0, 0, 0, 0, 250, 500, 750]);
        world.set_rates(Rates::OFF);
        for _ in 0..3 * CONNECTIONS_HELD_MAX {
            assert_eq!(begins_in(world, &ana), Ok(0));
        }
    }

    #[test]
    fn a_close_names_what_refused() {
        World::once(|world| {
            let ana = world.user("ana");
            world.set_rates(Rates { refused_calls_per_second: 1, connections_per_second: 1, ..Rates::OFF });
            let told = |world: &mut World| world.connect(&ana).map_err(|close| close.reason);
            let held = (0..=CONNECTIONS_HELD_MAX).all(|_| told(world).is_ok());
            assert!(held && told(world).unwrap_err().contains("connections_per_second"));
            let caller = new_user(world, "app", NOTHING);
            world.sign_with(caller);
            assert!(told(world).unwrap_err().contains("chime:Connect"));
            assert!(told(world).unwrap_err().contains("refused_calls_per_second"));
        });
    }

    #[engine_test]
    fn what_is_wrong_for_good_closes_with_a_code_that_stops_the_client(world: &mut World) {
        let ana = world.user("ana");
        let nobody = world.instance().user("nobody");
        let foreign = ana.as_str().replace("111122223333", "444455556666").parse().unwrap();
        let session_id = |length| format!("sessionId={}", "1".repeat(length));
        let [none, one, longest, longer] =
            [0, 1, SESSION_ID_LENGTH_MAX, SESSION_ID_LENGTH_MAX + 1].map(session_id);
        for (who, query) in [(&ana, "a=1"), (&ana, &none), (&ana, &longer), (&nobody, &one), (&foreign, &one)]
        {
            assert_eq!(world.connect_with(who, query).unwrap_err().code, 4003, "{who} {query}");
        }
        assert!(world.connect_with(&ana, &longest).is_ok());
    }
}
