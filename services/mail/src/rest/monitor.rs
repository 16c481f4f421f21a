//! News over web sockets. A watcher gets the last messages first, as from Inbucket, and then what happens.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        Path, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{interval, timeout},
};
use uuid::Uuid;

use super::{Shared, mailbox, model};
use crate::{events::Event, failure::Failure, inbox::Inbox, store};

/// Messages that a new watcher gets.
const HISTORY: i64 = 30;

/// Largest message of a watcher. There is nothing that it could say.
const HEARD_BYTES: usize = 512;

/// How often a watcher is asked whether it is there.
const PULSE: Duration = Duration::from_secs(54);

/// How long a watcher may take nothing.
const STALL: Duration = Duration::from_secs(10);

/// The form of what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// The header of each message that comes.
    One,
    /// What comes and what goes.
    Two,
}

pub(super) fn routes() -> Router<Arc<Inbox>> {
    Router::new()
        .route(
            "/api/v1/monitor/messages",
            get(async |inbox: Shared, socket: WebSocketUpgrade| all(inbox, socket, Version::One)),
        )
        .route(
            "/api/v2/monitor/messages",
            get(async |inbox: Shared, socket: WebSocketUpgrade| all(inbox, socket, Version::Two)),
        )
        .route(
            "/api/v1/monitor/messages/{name}",
            get(async |inbox: Shared, name: Path<String>, socket: WebSocketUpgrade| {
                one(inbox, name, socket, Version::One)
            }),
        )
        .route(
            "/api/v2/monitor/messages/{name}",
            get(async |inbox: Shared, name: Path<String>, socket: WebSocketUpgrade| {
                one(inbox, name, socket, Version::Two)
            }),
        )
}

fn all(State(inbox): Shared, socket: WebSocketUpgrade, version: Version) -> Result<Response, Failure> {
    begin(inbox, None, socket, version)
}

fn one(
    State(inbox): Shared,
    Path(name): Path<String>,
    socket: WebSocketUpgrade,
    version: Version,
) -> Result<Response, Failure> {
    let mailbox = mailbox(&inbox, &name)?;
    begin(inbox, Some(mailbox), socket, version)
}

fn begin(
    inbox: Arc<Inbox>,
    mailbox: Option<String>,
    socket: WebSocketUpgrade,
    version: Version,
) -> Result<Response, Failure> {
    let permit = Arc::clone(&inbox.monitors).try_acquire_owned().map_err(|_| Failure::Busy)?;
    let socket = socket.max_message_size(HEARD_BYTES).max_frame_size(HEARD_BYTES);
    // From here on, so that nothing is missed between the last messages and the news.
    let news = inbox.events.watch();
    Ok(socket.on_upgrade(move |socket| async move {
        let watcher = Watcher { socket, version, mailbox };
        // It is not an error that a watcher leaves.
        let _ = watcher.inform(&inbox, news).await;
        drop(permit);
    }))
}

struct Watcher {
    socket: WebSocket,
    version: Version,
    /// The only mailbox that it watches.
    mailbox: Option<String>,
}

/// The watcher is gone, or takes nothing.
struct Gone;

impl Watcher {
    async fn inform(mut self, inbox: &Inbox, mut news: Receiver<Event>) -> Result<(), Gone> {
        let last = store::newest(&inbox.database, self.mailbox.as_deref(), HISTORY).await;
        let last = last.map_err(|_| Gone)?;
        // Some of them may be among the news as well.
        let sent: HashSet<Uuid> = last.iter().map(|summary| summary.id).collect();
        for summary in last.into_iter().rev() {
            self.tell(&Event::Stored(summary)).await?;
        }
        let mut pulse = interval(PULSE);
        loop {
            tokio::select! {
                event = news.recv() => match event {
                    Ok(Event::Stored(summary)) if sent.contains(&summary.id) => {}
                    Ok(event) => self.tell(&event).await?,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                heard = self.socket.recv() => match heard {
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return Err(Gone),
                },
                _ = pulse.tick() => self.send(Message::Ping(axum::body::Bytes::new())).await?,
            }
        }
    }

    /// Says what has happened, if it is for this watcher.
    async fn tell(&mut self, event: &Event) -> Result<(), Gone> {
        if self.mailbox.as_ref().is_some_and(|mailbox| mailbox != event.mailbox()) {
            return Ok(());
        }
        let text = match (self.version, event) {
            (Version::One, Event::Stored(summary)) => serde_json::to_string(&model::Header::of(summary)),
            (Version::One, Event::Deleted { .. }) => return Ok(()),
            (Version::Two, event) => serde_json::to_string(&model::News::of(event)),
        };
        self.send(Message::Text(text.map_err(|_| Gone)?.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        timeout(STALL, self.socket.send(message)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}
