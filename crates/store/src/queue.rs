//! What waits to be run: a bounded line from which one worker takes, or several of a kind. Whoever of several is idle
//! takes what is first, so that nothing waits for one that is busy while another one is not.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    len_max: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Workers that wait: where none does, none is woken, which would be a call of the system for each that comes.
    idle: usize,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(len_max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), idle: 0, is_closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), len_max }
    }

    /// Lets one more wait; false where there is no room.
    pub(crate) fn push(&self, one: T) -> bool {
        let mut state = self.state();
        if state.is_closed || self.len_max <= state.waiting.len() {
            return false;
        }
        state.waiting.push_back(one);
        let is_awaited = 0 < state.idle;
        drop(state);
        if is_awaited {
            self.arrived.notify_one();
        }
        true
    }

    /// Takes those that wait, `most` of them at most, and waits for the first; nothing once it is closed and empty.
    pub(crate) fn take(&self, most: usize) -> Vec<T> {
        let is_to_wait = |state: &mut State<T>| state.waiting.is_empty() && !state.is_closed;
        let mut state = self.state();
        state.idle += 1;
        let waited = self.arrived.wait_while(state, is_to_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let count = state.waiting.len().min(most);
        state.waiting.drain(..count).collect()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Takes all that wait now.
    pub(crate) fn take_all(&self) -> Vec<T> {
        self.state().waiting.drain(..).collect()
    }

    /// Takes no more; what waits is still to be taken.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.arrived.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_is_taken_first_and_none_is_lost_when_it_closes() {
        let queue = Queue::new(3);
        assert_eq!([1, 2, 3, 4].map(|one| queue.push(one)), [true, true, true, false]);
        assert_eq!(queue.take(2), [1, 2]);
        queue.close();
        assert!(!queue.push(5));
        assert_eq!((queue.take(2), queue.take(2)), (vec![3], vec![]));
    }

    #[test]
    fn whoever_is_idle_takes_what_comes() {
        let queue = Queue::new(8);
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (queue, said) = (&queue, said.clone());
                scope.spawn(move || {
                    while let [one] = queue.take(1)[..] {
                        said.send(one).unwrap();
                    }
                });
            }
            for one in 0..100 {
                while !queue.push(one) {
                    std::thread::yield_now();
                }
            }
            queue.close();
        });
        drop(said);
        let mut all: Vec<i32> = heard.iter().collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
