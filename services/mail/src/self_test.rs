//! Uses the service once, from the outside: by SMTP in, and by HTTP out.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{front, inbox::Inbox, smtp};

/// Bytes that are under way between the two ends of a session.
const PIPE: usize = 4096;

/// Sends a message, reads it by REST and on its pages, and deletes it, in a mailbox of its own.
pub(crate) async fn run(inbox: &Arc<Inbox>) -> anyhow::Result<()> {
    let name = format!("stack-self-test-{}", Uuid::new_v4().simple());
    // Neither of its parts is another's: mailboxes may be named by each.
    let address = format!("{name}@{name}.localhost");
    let mailbox = inbox.settings().naming.mailbox(&address).context("an address has no mailbox")?;
    let test = Test { router: front::answers(inbox).router, address, mailbox };
    test.deliver(inbox).await.context("a message was not taken")?;
    let read = test.read().await;
    let purged = test.send(Method::DELETE, &format!("/api/v1/mailbox/{}", test.mailbox)).await;
    read.and(purged.map(drop))
}

struct Test {
    router: Router,
    address: String,
    mailbox: String,
}

impl Test {
    async fn deliver(&self, inbox: &Arc<Inbox>) -> anyhow::Result<()> {
        let (mut client, server) = tokio::io::duplex(PIPE);
        let (_running, stopped) = watch::channel(false);
        let dialogue = format!(
            "EHLO localhost\r\nMAIL FROM:<stack@localhost>\r\nRCPT TO:<{}>\r\nDATA\r\n\
             Subject: self-test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/html\r\n\r\n<p>content</p>\r\n\
             --b\r\nContent-Disposition: attachment; filename=file\r\n\r\nfile\r\n--b--\r\n.\r\nQUIT\r\n",
            self.address
        );
        let talk = async {
            client.write_all(dialogue.as_bytes()).await?;
            let mut replies = String::new();
            client.read_to_string(&mut replies).await?;
            anyhow::Ok(replies)
        };
        let (talked, replies) = tokio::join!(smtp::converse(server, inbox, stopped), talk);
        talked?;
        let replies = replies?;
        let refusal = replies.lines().find(|line| line.starts_with(['4', '5']));
        ensure!(refusal.is_none(), "{}", refusal.unwrap_or_default());
        Ok(())
    }

    async fn read(&self) -> anyhow::Result<()> {
        let list: Value = serde_json::from_str(&self.get("/api/v1/mailbox/", "").await?)?;
        let id = list[0]["id"].as_str().context("a message is not listed")?;
        let message: Value = serde_json::from_str(&self.get("/api/v1/mailbox/", &format!("/{id}")).await?)?;
        ensure!(message["subject"] == "self-test", "a message was not read as it was sent");
        ensure!(message["attachments"][0]["filename"] == "file", "an attachment is missing");
        let page = self.get("/mailbox/", &format!("/{id}")).await?;
        ensure!(page.contains("self-test"), "the page of a message does not show it");
        let html = self.get("/mailbox/", &format!("/{id}/html")).await?;
        ensure!(html.contains("<p>content</p>"), "the HTML of a message is not shown");
        let file = self.get("/serve/mailbox/", &format!("/{id}/attach/0/file")).await?;
        ensure!(file == "file", "an attachment was not read as it was sent");
        ensure!(self.send(Method::GET, "/").await?.contains(&self.mailbox), "a mailbox is not listed");
        Ok(())
    }

    async fn get(&self, before: &str, after: &str) -> anyhow::Result<String> {
        self.send(Method::GET, &format!("{before}{}{after}", self.mailbox)).await
    }

    async fn send(&self, method: Method, path: &str) -> anyhow::Result<String> {
        let what = format!("{method} {path}");
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let answer = self.router.clone().oneshot(request.body(Body::empty())?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(|| what.clone())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        ensure!(status == StatusCode::OK, "{what}: {status}: {text}");
        Ok(text)
    }
}
