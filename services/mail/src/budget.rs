//! The memory that messages under way may take, all sessions together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A number of bytes for all.
#[derive(Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// The part of one session, which has nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), held: 0 }
    }
}

/// What one session has of it. It goes back when this is dropped.
pub(crate) struct Share {
    budget: Budget,
    held: usize,
}

impl Share {
    /// Sets what the session holds. Returns whether all together are within the limit; a share that becomes smaller always is.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let used = &self.budget.used;
        if bytes <= self.held {
            used.fetch_sub(self.held - bytes, Ordering::Relaxed);
            self.held = bytes;
            return true;
        }
        let more = bytes - self.held;
        self.held = bytes;
        used.fetch_add(more, Ordering::Relaxed) + more <= self.budget.limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sessions_together_stay_within_the_limit() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.set(60) && second.set(40));
        assert!(!second.set(41));
        assert!(second.set(0), "it gives its part up");
        assert!(first.set(100));
        drop(first);
        assert!(second.set(100), "what a session held is free after it");
    }
}
