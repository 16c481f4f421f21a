//! News about messages, for those who watch.

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::store::Summary;

/// News that a slow watcher may be behind. It misses what is older.
const BACKLOG: usize = 256;

/// Something that has happened to a message.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// It was caught.
    Stored(Summary),
    /// It is gone.
    Deleted {
        /// The mailbox that it was in.
        mailbox: String,
        /// Its name.
        id: Uuid,
    },
}

impl Event {
    /// The mailbox that it is about.
    pub(crate) fn mailbox(&self) -> &str {
        match self {
            Self::Stored(summary) => &summary.mailbox,
            Self::Deleted { mailbox, .. } => mailbox,
        }
    }
}

/// All news.
pub(crate) struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Events {
    /// Reports something. It is not an error that no one watches.
    pub(crate) fn report(&self, event: Event) {
        let _ = self.0.send(event);
    }

    /// All news from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
