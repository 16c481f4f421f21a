//! Mail with the clients that developers use, beside the machine: the service is the same program there.

use std::net::Ipv4Addr;

use guest::http_server::{self, Limits};
use serde_json::Value;
use service_kit::variables::Variables;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;
use vm_tests::clients::client;
use vm_tests::emulator::finished;

/// The service with a database of its own, on ports that are free.
struct Service {
    smtp: u16,
    url: String,
}

async fn with_service(work: impl AsyncFnOnce(Service)) {
    test_postgres::with_server(async |url: String| {
        let variables = Variables::of(&[("DATABASE_URL", url.as_str())]);
        mail::migrate(&variables).await.unwrap();
        let part = mail::open(&variables).unwrap();
        let (_running, stopped) = watch::channel(false);
        let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", web.local_addr().unwrap());
        tokio::spawn(http_server::run(web, part.answers(), Limits::default(), stopped.clone()));
        let [other] = part.others().try_into().unwrap_or_else(|_| panic!("there is one port of SMTP"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let smtp = listener.local_addr().unwrap().port();
        tokio::spawn((other.serve)(listener, stopped));
        work(Service { smtp, url }).await;
    })
    .await;
}

impl Service {
    /// Gives a program what `emulator run` exports.
    fn exports<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let mail = format!("smtp://127.0.0.1:{}", self.smtp);
        command.env("SMTP_HOST", "127.0.0.1").env("SMTP_PORT", self.smtp.to_string());
        command.env("SMTP_URL", &mail).env("MAIL_URL", &mail).env("INBUCKET_URL", &self.url)
    }

    async fn run(&self, program: &str, address: &str) {
        let mut command = client(program);
        let child = self.exports(&mut command).arg(address).spawn().unwrap();
        let run = finished(child).await.expect(0);
        assert_eq!(run.stdout.trim_end().lines().last(), Some("done"), "{}", run.stderr);
    }

    async fn get(&self, path: &str) -> Value {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn nodemailer_sends_what_the_client_of_inbucket_reads() {
    with_service(async |service| service.run("mail.cjs", "a+b@x.test").await).await;
}

#[tokio::test]
async fn swaks_sends_in_all_of_its_ways() {
    with_service(async |service| {
        service.run("mail.sh", "swaks@x.test").await;
        let list = service.get("/api/v1/mailbox/swaks").await;
        let subjects: Vec<_> =
            list.as_array().unwrap().iter().map(|it| it["subject"].as_str().unwrap()).collect();
        let expected = ["plain", "plain-auth", "login-auth", "pipeline", "helo", "attachment", "two", "dots"];
        assert_eq!(subjects, expected);
        let file = service.get(&format!("/api/v1/mailbox/swaks/{}", list[5]["id"].as_str().unwrap())).await;
        assert_eq!(file["attachments"][0]["filename"], "mail.sh");
        let dots = service.get(&format!("/api/v1/mailbox/swaks/{}", list[7]["id"].as_str().unwrap())).await;
        assert!(
            dots["body"]["text"].as_str().unwrap().starts_with("a\r\n.\r\n..b"),
            "{}",
            dots["body"]["text"]
        );
        assert_eq!(service.get("/api/v1/mailbox/other-swaks").await.as_array().unwrap().len(), 1);
    })
    .await;
}
