//! The service from the outside.

mod clients;
mod monitor;
mod pages;
mod server;

use std::collections::HashSet;

use axum::http::Method;
use server::with_server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PLAIN: &str = "From: Anna <anna@x.test>\r\nTo: bob@x.test\r\nSubject: hello\r\n\r\nText\r\n";

const MIXED: &str = "From: a@x.test\r\nSubject: mixed\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=m\r\n\r\n\
    --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
    --a\r\nContent-Type: text/plain\r\n\r\nplain\r\n\
    --a\r\nContent-Type: text/html\r\n\r\n<p onclick=x>rich <script>x</script><img src=\"cid:p@x\"></p>\r\n--a--\r\n\
    --m\r\nContent-Type: image/png\r\nContent-ID: <p@x>\r\nContent-Transfer-Encoding: base64\r\n\
    Content-Disposition: attachment; filename=\"../p x.png\"\r\n\r\niVBORw==\r\n\
    --m\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=x.html\r\n\r\n<script>y</script>\r\n--m--\r\n";

#[tokio::test]
async fn a_message_is_read_as_inbucket_gives_it() {
    with_server(&[], async |server| {
        server.mail(&["Bob+news@x.test"], PLAIN).await;
        let list = server.list("bob").await;
        assert_eq!(list.len(), 1);
        let fields: HashSet<&str> = list[0].as_object().unwrap().keys().map(String::as_str).collect();
        let expected = ["mailbox", "id", "from", "to", "subject", "date", "posix-millis", "size", "seen"];
        assert_eq!(fields, expected.into());
        assert_eq!(list[0]["from"], "Anna <anna@x.test>");
        assert_eq!(list[0]["to"], serde_json::json!(["<bob@x.test>"]));
        assert_eq!(list[0]["size"], PLAIN.len());
        assert_eq!(list[0]["seen"], false);

        let path = server.only("bob").await;
        let message = server.get(&path).await.json();
        assert_eq!(message["body"], serde_json::json!({"text": "Text\r\n", "html": ""}));
        assert_eq!(message["header"]["Subject"], serde_json::json!(["hello"]));
        assert_eq!(message["attachments"], serde_json::json!([]));
        assert_eq!(server.get(&format!("{path}/source")).await.text(), PLAIN);
        assert_eq!(server.get("/api/v1/mailbox/bob/latest").await.json(), message);
        assert_eq!(server.list("Bob+other@y.test").await.len(), 1, "an address leads to its mailbox");

        let mark = server.send(Method::PATCH, &path, &[], r#"{"seen": true}"#).await;
        assert_eq!((mark.status, mark.text().as_str()), (200, "\"OK\""));
        assert_eq!(server.list("bob").await[0]["seen"], true);
        let deleted = server.delete(&path).await;
        assert_eq!((deleted.status, deleted.text().as_str()), (200, "\"OK\""));
        assert_eq!(server.list("bob").await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_never_a_failure() {
    with_server(&[], async |server| {
        server.mail(&["bob@x.test"], PLAIN).await;
        let path = server.only("bob").await;
        let elsewhere = path.replace("/bob/", "/eve/");
        let unknown = format!("/api/v1/mailbox/bob/{}", "0".repeat(32));
        for path in [&elsewhere, &unknown, "/api/v1/mailbox/bob/1", "/api/v1/mailbox/bob/..%2f", "/nowhere"] {
            assert_eq!(server.get(path).await.status, 404, "{path}");
        }
        for path in [&elsewhere, &unknown] {
            assert_eq!(server.delete(path).await.status, 404, "{path}");
            let mark = server.send(Method::PATCH, path, &[], r#"{"seen": true}"#).await;
            assert_eq!(mark.status, 404, "{path}");
        }
        assert_eq!(server.send(Method::PATCH, &path, &[], "{").await.status, 400);
        assert_eq!(server.send(Method::PATCH, &path, &[], &" ".repeat(20_000)).await.status, 413);
        assert_eq!(server.get("/api/v1/mailbox/%00").await.status, 400);
        assert_eq!(server.get("/api/v1/mailbox/%ff").await.status, 400);
        assert_eq!(server.get(&format!("/api/v1/mailbox/{}", "a".repeat(5000))).await.status, 400);
        assert_eq!(server.list("stranger").await.len(), 0);
        assert_eq!(server.delete("/api/v1/mailbox/stranger").await.status, 200);
        assert_eq!(server.list("bob").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn each_recipient_has_a_copy_and_the_content_goes_with_the_last() {
    with_server(&[], async |server| {
        server.mail(&["a@x.test", "b@x.test", "b@y.test"], PLAIN).await;
        assert_eq!((server.list("a").await.len(), server.list("b").await.len()), (1, 2));
        assert_eq!(server.count("SELECT count(*) FROM mail.content").await, 1);
        server.delete("/api/v1/mailbox/b").await;
        assert_eq!(server.count("SELECT copies FROM mail.content").await, 1);
        assert_eq!(server.get(&format!("{}/source", server.only("a").await)).await.text(), PLAIN);
        server.delete(&server.only("a").await).await;
        assert_eq!(server.count("SELECT count(*) FROM mail.content").await, 0);
    })
    .await;
}

#[tokio::test]
async fn deletions_at_the_same_moment_do_not_wait_for_each_other() {
    with_server(&[], async |server| {
        let recipients = ["a@x.test", "b@x.test", "c@x.test", "d@x.test"];
        for _ in 0..10 {
            for _ in 0..5 {
                server.mail(&recipients, PLAIN).await;
            }
            let purge = async |name: &str| server.delete(&format!("/api/v1/mailbox/{name}")).await.status;
            let done = tokio::join!(purge("a"), purge("b"), purge("c"), purge("d"));
            assert_eq!(done, (200, 200, 200, 200));
            assert_eq!(server.count("SELECT count(*) FROM mail.content").await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn attachments_are_given_with_their_checksums_and_links() {
    with_server(&[], async |server| {
        server.mail(&["a@x.test"], MIXED).await;
        let message = server.get(&server.only("a").await).await.json();
        assert_eq!(message["body"]["text"].as_str().unwrap().trim(), "plain");
        let first = &message["attachments"][0];
        assert_eq!(first["content-type"], "image/png");
        assert_eq!(first["md5"], "3bdaf5969285188ac756c339f69f5c79");
        let view = first["view-link"].as_str().unwrap().strip_prefix("http://127.0.0.1:26703").unwrap();
        let shown = server.get(view).await;
        assert_eq!((shown.status, &*shown.body), (200, b"\x89PNG".as_slice()));
        assert_eq!(shown.header("content-type"), "image/png");
        assert!(shown.header("content-disposition").starts_with("inline; filename*=UTF-8''..%2Fp"));
        let save = first["download-link"].as_str().unwrap().strip_prefix("http://127.0.0.1:26703").unwrap();
        assert!(server.get(save).await.header("content-disposition").starts_with("attachment;"));
        let page =
            message["attachments"][1]["view-link"].as_str().unwrap().replace("http://127.0.0.1:26703", "");
        let page = server.get(&page).await;
        assert!(page.header("content-disposition").starts_with("attachment;"), "HTML is saved, not shown");
        assert!(page.header("content-security-policy").contains("sandbox"));
        assert_eq!(page.header("x-content-type-options"), "nosniff");
    })
    .await;
}

#[tokio::test]
async fn the_oldest_messages_go_when_there_are_too_many() {
    with_server(&[("MAIL_KEEP_PER_MAILBOX", "2"), ("MAIL_KEEP_MESSAGES", "4")], async |server| {
        for number in 0..3 {
            server.mail(&["a@x.test", "b@x.test"], &format!("Subject: {number}\r\n\r\n")).await;
        }
        server.mail(&["c@x.test"], "Subject: last\r\n\r\n").await;
        server.inbox.prune().await.unwrap();
        assert_eq!(server.subjects("a").await, ["2"]);
        assert_eq!(server.subjects("b").await, ["1", "2"]);
        assert_eq!(server.subjects("c").await, ["last"]);
        // Without being asked, after each 20 messages, of which there were 7.
        for number in 0..13 {
            server.mail(&["d@x.test"], &format!("Subject: {number}\r\n\r\n")).await;
        }
        server.comes_to("d", &["11", "12"]).await;
        assert_eq!(server.subjects("c").await, ["last"], "what a mailbox loses does not count");
        assert_eq!((server.subjects("a").await, server.subjects("b").await), (vec![], vec!["2".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn old_and_large_messages_go_but_never_the_newest() {
    with_server(&[("MAIL_KEEP_MIB", "1"), ("MAIL_KEEP_DAYS", "2")], async |server| {
        server.mail(&["a@x.test"], "Subject: old\r\n\r\n").await;
        let age = "UPDATE mail.message SET received = received - interval '3 days'";
        server.inbox.database.execute(age, &[]).await.unwrap();
        server.mail(&["a@x.test"], "Subject: small\r\n\r\n").await;
        server.inbox.prune().await.unwrap();
        assert_eq!(server.subjects("a").await, ["small"]);
        let line = format!("{}\r\n", "x".repeat(70));
        server.mail(&["a@x.test"], &format!("Subject: large\r\n\r\n{}", line.repeat(30_000))).await;
        server.inbox.prune().await.unwrap();
        assert_eq!(server.subjects("a").await, ["large"]);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged() {
    with_server(&[], async |server| {
        let lock = "ALTER TABLE mail.message RENAME TO elsewhere";
        server.inbox.database.execute(lock, &[]).await.unwrap();
        let text = "EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
        let replies = server.dialogue(text).await;
        assert!(replies.contains("\r\n451 4.3.0 ") && !replies.contains("message kept"), "{replies}");
        assert_eq!(server.count("SELECT count(*) FROM mail.content").await, 0, "nothing is half kept");
        assert_eq!(server.get("/_stack/health").await.status, 503);
    })
    .await;
}

#[tokio::test]
async fn a_full_memory_refuses_messages_for_a_while() {
    with_server(&[("MAIL_MAX_BYTES", "40000000")], async |server| {
        let begin = "EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n";
        let mut first = TcpStream::connect(server.smtp).await.unwrap();
        first.write_all(begin.as_bytes()).await.unwrap();
        first.write_all(&vec![b'x'; 39_000_000]).await.unwrap();
        let line = format!("{}\r\n", "x".repeat(70));
        let large = format!("{begin}{}.\r\nQUIT\r\n", line.repeat(530_000));
        let replies = server.dialogue(&large).await;
        assert!(replies.contains("\r\n452 4.3.1 "), "{replies}");
        drop(first);
        let again = async || server.dialogue(&large).await.contains("message kept").then_some(());
        base::wait::until(server::LIMIT, again).await.expect("there is room again");
    })
    .await;
}

#[tokio::test]
async fn a_stop_says_goodbye_to_those_who_are_idle() {
    with_server(&[], async |server| {
        let mut stream = TcpStream::connect(server.smtp).await.unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        server.stop.send_replace(true);
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("421 4.3.2 the service stops\r\n"), "{rest}");
    })
    .await;
}

#[tokio::test]
async fn the_self_test_leaves_nothing_behind() {
    with_server(&[], async |server| {
        crate::self_test::run(&server.inbox).await.unwrap();
        assert_eq!(server.count("SELECT count(*) FROM mail.message").await, 0);
        assert_eq!(server.get("/_stack/health").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn mailboxes_are_named_as_configured() {
    for (naming, name) in [("full", "a@x.test"), ("domain", "x.test")] {
        with_server(&[("MAIL_MAILBOX_NAMING", naming)], async |server| {
            server.mail(&["A+b@X.test"], PLAIN).await;
            assert_eq!(server.list(name).await[0]["mailbox"], name);
            assert_eq!(server.list("a+c@x.test").await.len(), 1, "{naming}");
            crate::self_test::run(&server.inbox).await.unwrap();
            assert_eq!(server.count("SELECT count(*) FROM mail.message").await, 1, "{naming}");
        })
        .await;
    }
}
