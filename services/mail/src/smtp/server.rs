//! The server of all connections.

use std::{sync::Arc, time::Duration};

use guest::http_server::{accept, stopped};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::converse;
use crate::inbox::Inbox;

/// Sessions at a time: more than the pools of a developer's programs have.
const SESSIONS: usize = 128;

/// For the reply to a client for which there is no room.
const REFUSAL: Duration = Duration::from_secs(1);

/// Talks to all clients until `stop` is true, and then until messages that are being kept are kept.
pub(crate) async fn serve(listener: TcpListener, inbox: Arc<Inbox>, mut stop: watch::Receiver<bool>) {
    let rooms = Arc::new(Semaphore::new(SESSIONS));
    let mut sessions = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = stopped(&mut stop) => break,
        };
        match Arc::clone(&rooms).try_acquire_owned() {
            Ok(room) => {
                let (inbox, stop) = (Arc::clone(&inbox), stop.clone());
                sessions.spawn(async move {
                    // An error is the client's: it broke the connection or did not read.
                    let _ = stream.set_nodelay(true);
                    let _ = converse(stream, &inbox, stop).await;
                    drop(room);
                });
            }
            Err(_) => refuse(stream).await,
        }
        while sessions.try_join_next().is_some() {}
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

async fn refuse(mut stream: TcpStream) {
    let reply = stream.write_all(b"421 4.3.2 too many sessions: try again\r\n");
    // A client that is gone needs no reply.
    let _ = timeout(REFUSAL, reply).await;
}
