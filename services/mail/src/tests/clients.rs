//! Clients that others wrote: lettre, and Python's smtplib with its email package. `vm-tests` has those that need packages.

use std::path::Path;

use base::process::Cmd;
use lettre::{
    Message, SmtpTransport, Transport as _,
    message::{Attachment, MultiPart, SinglePart, header::ContentType},
    transport::smtp::{authentication::Credentials, extension::ClientId},
};

use super::server::{Server, with_server};

/// Verifies what every client of this file has sent to a mailbox.
async fn has_arrived(server: &Server, mailbox: &str) {
    let message = server.get(&server.only(mailbox).await).await.json();
    assert_eq!(message["from"], "Jörg <joerg@x.test>");
    assert_eq!(message["subject"], "Grüße €");
    assert_eq!(message["body"]["text"].as_str().unwrap().trim_end(), ".dot\r\nText €");
    assert_eq!(message["body"]["html"].as_str().unwrap().trim_end(), "<p>Text €</p>");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["filename"], "größe.bin");
    assert_eq!(attachment["content-type"], "application/octet-stream");
    // Of the bytes 0 to 255.
    assert_eq!(attachment["md5"], "e2c865db4162bed963bfaa9ef6ac18f0");
}

#[tokio::test]
async fn lettre_sends_a_message_with_all_parts() {
    with_server(&[], async |server| {
        let bytes: Vec<u8> = (0..=255).collect();
        let file = Attachment::new("größe.bin".to_owned())
            .body(bytes, ContentType::parse("application/octet-stream").unwrap());
        let text = MultiPart::alternative()
            .singlepart(SinglePart::plain(".dot\r\nText €".to_owned()))
            .singlepart(SinglePart::html("<p>Text €</p>".to_owned()));
        let message = Message::builder()
            .from("Jörg <joerg@x.test>".parse().unwrap())
            .to("lettre@x.test".parse().unwrap())
            .bcc("hidden@x.test".parse().unwrap())
            .subject("Grüße €")
            .multipart(MultiPart::mixed().multipart(text).singlepart(file))
            .unwrap();
        let transport = SmtpTransport::builder_dangerous("127.0.0.1")
            .port(server.smtp.port())
            .hello_name(ClientId::Domain("localhost".to_owned()))
            .credentials(Credentials::new("user".to_owned(), "password".to_owned()))
            .build();
        let sent = tokio::task::spawn_blocking(move || transport.send(&message)).await.unwrap().unwrap();
        assert!(sent.is_positive());
        has_arrived(server, "lettre").await;
        assert_eq!(server.list("hidden").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn smtplib_sends_a_message_with_all_parts() {
    with_server(&[], async |server| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/clients/smtplib_client.py");
        let python = Cmd::new("python3").arg(script).arg(server.smtp.port().to_string());
        assert_eq!(python.text().await.unwrap(), "sent");
        has_arrived(server, "smtplib").await;
        assert_eq!(server.list("jörg").await.len(), 1, "an address that is not ASCII");
        assert_eq!(server.list("vielleicht").await.len(), 0, "a message that was reset");
    })
    .await;
}
