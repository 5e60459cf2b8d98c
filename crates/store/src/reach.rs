//! Whether the store can be reached: said when that changes, once, whichever worker finds out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Error;

#[derive(Default)]
pub(crate) struct Reach {
    is_away: AtomicBool,
    /// How often it could not be reached.
    losses: AtomicU64,
    /// How often it came back.
    returns: AtomicU64,
}

/// Something that begins: only what begins after the last loss shows that the store is back, and only what begins after
/// its last return that it is gone again. What waited in vain may find that out long after others were served.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    losses: u64,
    returns: u64,
}

impl Reach {
    /// Whether it could be reached, the last that anybody knows.
    pub(crate) fn is_there(&self) -> bool {
        !self.is_away.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) -> Begun {
        Begun { losses: self.losses.load(Ordering::Acquire), returns: self.returns.load(Ordering::Acquire) }
    }

    /// It could not be reached by what began then. True where this is news.
    pub(crate) fn lost(&self, begun: Begun, error: &Error) -> bool {
        self.losses.fetch_add(1, Ordering::AcqRel);
        let is_news = self.returns.load(Ordering::Acquire) == begun.returns
            && !self.is_away.swap(true, Ordering::AcqRel);
        if is_news {
            tracing::error!(%error, "the store cannot be reached");
        }
        is_news
    }

    /// It was reached by what began then. True where this is news.
    pub(crate) fn reached(&self, begun: Begun) -> bool {
        let is_news = self.is_away.load(Ordering::Acquire)
            && self.losses.load(Ordering::Acquire) == begun.losses
            && self.is_away.swap(false, Ordering::AcqRel);
        if is_news {
            self.returns.fetch_add(1, Ordering::AcqRel);
            tracing::info!("the store is back");
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_news_once_and_what_began_before_says_nothing() {
        let (reach, error) = (Reach::default(), Error::unreachable("gone"));
        let before = reach.begin();
        assert!(!reach.reached(before));
        assert!(reach.lost(before, &error));
        assert!(!reach.reached(before));
        let between = reach.begin();
        assert!(!reach.lost(between, &error));
        assert!(!reach.reached(between));
        let after = reach.begin();
        assert_eq!((reach.reached(after), reach.reached(after)), (true, false));
        assert!(!reach.lost(between, &error), "it waited in vain from before the return");
        let later = reach.begin();
        assert_eq!((reach.lost(later, &error), reach.lost(later, &error)), (true, false));
    }
}
