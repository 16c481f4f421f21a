//! The monitors, over real web sockets.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use super::server::{LIMIT, Server, with_server};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Long enough for what would come to come.
const MOMENT: Duration = Duration::from_millis(200);

async fn watch(server: &Server, path: &str) -> Socket {
    connect_async(format!("ws://{}{path}", server.http)).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = timeout(LIMIT, socket.next()).await.expect("something comes").unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[tokio::test]
async fn a_watcher_gets_what_was_and_what_comes() {
    with_server(&[], async |server| {
        server.mail(&["a@x.test"], "Subject: before\r\n\r\n").await;
        let mut all = watch(server, "/api/v1/monitor/messages").await;
        let mut one = watch(server, "/api/v2/monitor/messages/a@x.test").await;
        assert_eq!(next(&mut all).await["subject"], "before");
        assert_eq!(next(&mut one).await["header"]["subject"], "before");

        server.mail(&["b@x.test"], "Subject: other\r\n\r\n").await;
        server.mail(&["a@x.test"], "Subject: after\r\n\r\n").await;
        assert_eq!(next(&mut all).await["mailbox"], "b");
        assert_eq!(next(&mut all).await["subject"], "after");
        let stored = next(&mut one).await;
        assert_eq!(stored["variant"], "message-stored");
        assert_eq!(stored["identifier"], Value::Null);
        assert_eq!(stored["header"]["subject"], "after");

        let id = stored["header"]["id"].as_str().unwrap();
        server.delete(&format!("/api/v1/mailbox/a/{id}")).await;
        let deleted = next(&mut one).await;
        assert_eq!(deleted["variant"], "message-deleted");
        assert_eq!(deleted["identifier"], serde_json::json!({"mailbox": "a", "id": id}));
        assert_eq!(deleted["header"], Value::Null);
        assert!(timeout(MOMENT, all.next()).await.is_err(), "the first version does not report deletions");
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_watch() {
    with_server(&[], async |server| {
        let address = format!("ws://{}/api/v2/monitor/messages", server.http);
        let mut request = address.into_client_request().unwrap();
        request.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
        match connect_async(request).await {
            Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 403),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn there_are_not_more_watchers_than_places() {
    with_server(&[], async |server| {
        let mut sockets = Vec::new();
        for _ in 0..64 {
            sockets.push(watch(server, "/api/v1/monitor/messages").await);
        }
        let address = format!("ws://{}/api/v1/monitor/messages", server.http);
        assert!(connect_async(&address).await.is_err());
        drop(sockets);
        let again = async || connect_async(&address).await.ok();
        base::wait::until(LIMIT, again).await.expect("there is a place again");
    })
    .await;
}
