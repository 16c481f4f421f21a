//! The service with a PostgreSQL server of the test's own, on ports that are free.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request},
};
use base::wait;
use guest::http_server::{self, Limits};
use http_body_util::BodyExt as _;
use serde_json::Value;
use service_kit::{database::Database, variables::Variables};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower::ServiceExt as _;

use crate::{front, inbox::Inbox, settings::Settings, smtp};

/// Longer than anything takes on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A service that runs.
pub(super) struct Server {
    pub(super) inbox: Arc<Inbox>,
    pub(super) smtp: SocketAddr,
    pub(super) http: SocketAddr,
    router: Router,
    pub(super) stop: watch::Sender<bool>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// Does `work` with a service that has these settings besides its own.
pub(super) async fn with_server(more: &[(&str, &str)], work: impl AsyncFnOnce(&Server)) {
    test_postgres::with_server(async |url: String| {
        let variables = Variables::of(&[&[("DATABASE_URL", url.as_str())][..], more].concat());
        crate::migrate(&variables).await.unwrap();
        let settings = Settings::from_variables(&variables).unwrap();
        let inbox = Arc::new(Inbox::new(settings, Database::new(&url).unwrap()));
        let free = async || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (mail, web) = (free().await, free().await);
        let (stop, stopped) = watch::channel(false);
        let answers = front::answers(&inbox);
        let server = Server {
            smtp: mail.local_addr().unwrap(),
            http: web.local_addr().unwrap(),
            router: answers.router.clone(),
            stop,
            inbox: Arc::clone(&inbox),
        };
        tokio::spawn(smtp::serve(mail, inbox, stopped.clone()));
        tokio::spawn(http_server::run(web, answers, Limits::default(), stopped));
        work(&server).await;
    })
    .await;
}

impl Server {
    /// Says all of it in one piece, and returns all replies.
    pub(super) async fn dialogue(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.smtp).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut replies = String::new();
        let read = stream.read_to_string(&mut replies);
        tokio::time::timeout(LIMIT, read).await.expect("the session ends").unwrap();
        replies
    }

    /// Sends a message, which ends with a line break, to these recipients.
    pub(super) async fn mail(&self, recipients: &[&str], source: &str) {
        let recipients: Vec<String> = recipients.iter().map(|it| format!("RCPT TO:<{it}>\r\n")).collect();
        let recipients = recipients.concat();
        let text =
            format!("EHLO me\r\nMAIL FROM:<sender@x.test>\r\n{recipients}DATA\r\n{source}.\r\nQUIT\r\n");
        let replies = self.dialogue(&text).await;
        assert!(replies.contains("message kept"), "{replies}");
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:26703");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap());
        let (head, body) = answer.await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// What REST lists of a mailbox.
    pub(super) async fn list(&self, mailbox: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/mailbox/{mailbox}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
    }

    /// The subjects of the messages of a mailbox.
    pub(super) async fn subjects(&self, mailbox: &str) -> Vec<String> {
        self.list(mailbox).await.iter().map(|it| it["subject"].as_str().unwrap().to_owned()).collect()
    }

    /// The only message of a mailbox, by its path in REST.
    pub(super) async fn only(&self, mailbox: &str) -> String {
        let [message] = self.list(mailbox).await.try_into().expect("there is one message");
        format!("/api/v1/mailbox/{mailbox}/{}", message["id"].as_str().unwrap())
    }

    /// Waits until a mailbox has these messages.
    pub(super) async fn comes_to(&self, mailbox: &str, subjects: &[&str]) {
        let same = async || (self.subjects(mailbox).await == subjects).then_some(());
        wait::until(LIMIT, same).await.expect("the mailbox has these messages");
    }

    /// A number that the database has.
    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.inbox.database.query_one(sql, &[]).await.unwrap().get(0)
    }
}
