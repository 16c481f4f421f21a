//! What all parts of the service share.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use guest::report;
use service_kit::database::{Database, DatabaseError};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tracing::warn;
use uuid::Uuid;

use crate::{
    budget::Budget,
    events::{Event, Events},
    message,
    settings::Settings,
    smtp::Delivery,
    store::{self, Summary},
};

/// Bytes of all messages that are being received.
const RECEIVING_BYTES: usize = 64 << 20;

/// Whole messages that are read at a time, each with all that is in it.
const READERS: usize = 4;

/// Watchers at a time.
const MONITORS: usize = 64;

/// What is too much is removed after this many new messages, or bytes of them: to look for it costs more than to store one.
const MESSAGES_BETWEEN: i64 = 20;
const BYTES_BETWEEN: i64 = 8 << 20;

/// The service without its protocols.
pub(crate) struct Inbox {
    settings: RwLock<Arc<Settings>>,
    pub(crate) database: Database,
    pub(crate) events: Events,
    pub(crate) receiving: Budget,
    pub(crate) readers: Semaphore,
    pub(crate) monitors: Arc<Semaphore>,
    new_messages: AtomicI64,
    new_bytes: AtomicI64,
    is_pruning: AtomicBool,
}

impl Inbox {
    pub(crate) fn new(settings: Settings, database: Database) -> Self {
        Self {
            settings: RwLock::new(Arc::new(settings)),
            database,
            events: Events::default(),
            receiving: Budget::new(RECEIVING_BYTES),
            readers: Semaphore::new(READERS),
            monitors: Arc::new(Semaphore::new(MONITORS)),
            new_messages: AtomicI64::new(0),
            new_bytes: AtomicI64::new(0),
            is_pruning: AtomicBool::new(false),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Keeps a message. When this returns it is on the disk, with a copy for each recipient.
    pub(crate) async fn deliver(self: &Arc<Self>, delivery: Delivery) -> Result<(), DatabaseError> {
        let settings = self.settings();
        let Delivery { sender, recipients, source } = delivery;
        let head = message::head(&source, &sender, &recipients);
        let size = i64::try_from(source.len()).unwrap_or(i64::MAX);
        let received = OffsetDateTime::now_utc();
        let copies: Vec<Summary> = recipients
            .into_iter()
            .map(|recipient| Summary {
                id: Uuid::new_v4(),
                // SMTP has refused addresses that have none.
                mailbox: settings.naming.mailbox(&recipient).unwrap_or_else(|| recipient.clone()),
                sender: sender.clone(),
                recipient,
                from: head.from.clone(),
                to: head.to.clone(),
                subject: head.subject.clone(),
                received,
                size,
                seen: false,
            })
            .collect();
        store::insert(&self.database, &copies, &source).await?;
        let count = i64::try_from(copies.len()).unwrap_or(i64::MAX);
        for copy in copies {
            self.events.report(Event::Stored(copy));
        }
        self.count(count, size.saturating_mul(count));
        Ok(())
    }

    /// Removes what is too much, once enough has come for that.
    fn count(self: &Arc<Self>, messages: i64, bytes: i64) {
        let messages = self.new_messages.fetch_add(messages, Ordering::Relaxed) + messages;
        let bytes = self.new_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_enough = messages >= MESSAGES_BETWEEN || bytes >= BYTES_BETWEEN;
        if !is_enough || self.is_pruning.swap(true, Ordering::Relaxed) {
            return;
        }
        self.new_messages.store(0, Ordering::Relaxed);
        self.new_bytes.store(0, Ordering::Relaxed);
        let inbox = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = inbox.prune().await {
                warn!("old messages are not removed: {}", report(&error));
            }
            inbox.is_pruning.store(false, Ordering::Relaxed);
        });
    }

    /// Removes what is too much by the settings.
    pub(crate) async fn prune(&self) -> Result<(), DatabaseError> {
        let gone = store::prune(&self.database, &self.settings().keep).await?;
        self.report_gone(gone);
        Ok(())
    }

    /// Deletes a message. Returns whether there was one.
    pub(crate) async fn delete(&self, mailbox: &str, id: Uuid) -> Result<bool, DatabaseError> {
        let gone = store::delete(&self.database, mailbox, id).await?;
        let is_gone = !gone.is_empty();
        self.report_gone(gone);
        Ok(is_gone)
    }

    /// Deletes all messages of a mailbox.
    pub(crate) async fn purge(&self, mailbox: &str) -> Result<(), DatabaseError> {
        self.report_gone(store::purge(&self.database, mailbox).await?);
        Ok(())
    }

    fn report_gone(&self, gone: Vec<(String, Uuid)>) {
        for (mailbox, id) in gone {
            self.events.report(Event::Deleted { mailbox, id });
        }
    }
}
