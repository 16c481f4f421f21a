//! The pages, as a browser and as another site would ask for them.

use axum::http::Method;

use super::{MIXED, PLAIN, server::with_server};

#[tokio::test]
async fn a_person_finds_a_message_and_deletes_it() {
    with_server(&[], async |server| {
        server.mail(&["a/b@x.test"], PLAIN).await;
        let home = server.get("/").await;
        assert_eq!(home.status, 200);
        assert!(home.text().contains("href=\"/mailbox/a%2Fb\""), "{}", home.text());
        let opened = server.get("/open?name=A/B%2Bx@x.test").await;
        assert_eq!((opened.status, opened.header("location")), (303, "/mailbox/a%2Fb"));
        let mailbox = server.get("/mailbox/a%2Fb").await.text();
        let link =
            mailbox.split("class=\"main\" href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(mailbox.contains("row unseen"));
        let message = server.get(&link).await.text();
        assert!(
            message.contains("<h1>hello</h1>") && message.contains("Anna &#60;anna@x.test&#62;"),
            "{message}"
        );
        assert!(!server.get("/mailbox/a%2Fb").await.text().contains("row unseen"), "it was seen");
        assert_eq!(server.get(&format!("{link}/source")).await.text(), PLAIN);
        let deleted = server.send(Method::POST, &format!("{link}/delete"), &[], "").await;
        assert_eq!((deleted.status, deleted.header("location")), (303, "/mailbox/a%2Fb"));
        assert_eq!(server.get(&link).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn what_senders_write_is_escaped() {
    with_server(&[], async |server| {
        let evil = "<script>x</script>\u{202e}";
        let source = format!(
            "From: \"{evil}\" <a@x.test>\r\nSubject: {evil}\r\nX-Evil: {evil}\r\n\r\n{evil}\u{1b}[31m\r\n"
        );
        server.mail(&["b@x.test"], &source).await;
        let path = server.only("b").await.replace("/api/v1", "");
        for path in ["/", "/mailbox/b", &path, &format!("{path}?view=header")] {
            let page = server.get(path).await;
            assert_eq!(page.status, 200, "{path}");
            for forbidden in ["<script", "\u{202e}", "\u{1b}", " style=", "onclick"] {
                assert!(!page.text().contains(forbidden), "{path} has {forbidden:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn html_of_a_message_can_neither_run_nor_fetch() {
    with_server(&[], async |server| {
        server.mail(&["b@x.test"], MIXED).await;
        let path = server.only("b").await.replace("/api/v1", "");
        let frame = server.get(&path).await.text();
        assert!(
            frame.contains("<iframe")
                && frame.contains("sandbox=\"allow-popups allow-popups-to-escape-sandbox\"")
        );
        assert!(!frame.contains("<script"), "the page itself has nothing of it");
        let html = server.get(&format!("{path}/html")).await;
        assert!(html.text().contains("/attach/0/picture"), "{}", html.text());
        let policy = html.header("content-security-policy");
        for rule in
            ["default-src 'none'", "sandbox allow-popups", "form-action 'none'", "frame-ancestors 'self'"]
        {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"), "{policy}");
        assert_eq!(html.header("referrer-policy"), "no-referrer");
    })
    .await;
}

#[tokio::test]
async fn pages_of_other_sites_change_and_read_nothing() {
    with_server(&[], async |server| {
        server.mail(&["b@x.test"], PLAIN).await;
        let api = server.only("b").await;
        let page = api.replace("/api/v1", "");
        let foreign = [("origin", "http://127.0.0.1:3000")];
        for (method, path) in [
            (Method::POST, format!("{page}/delete")),
            (Method::POST, "/mailbox/b/purge".to_owned()),
            (Method::DELETE, api.clone()),
            (Method::PATCH, api.clone()),
        ] {
            assert_eq!(server.send(method, &path, &foreign, "").await.status, 403, "{path}");
        }
        let rebound = [("host", "evil.example:26703")];
        assert_eq!(server.send(Method::GET, &api, &rebound, "").await.status, 403);
        assert_eq!(server.list("b").await.len(), 1);
    })
    .await;
}
