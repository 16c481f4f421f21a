//! The environment variables of the running stack, as a developer's own programs use them.

use std::collections::BTreeSet;
use std::fs;

use base::process::Cmd;
use instances::instance::record;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vm_tests::clients::{self, Variables, client, variables};
use vm_tests::emulator::{Emulator, Started, finished};
use vm_tests::stack::{PROJECT, users};

/// Programs that sign a user up and in: with curl, with a client of npm, and with one of `PyPI`.
const CLIENTS: [&str; 3] = ["sign-in.sh", "sign-in.cjs", "sign_in.py"];

/// Prefixes whose variables bundlers copy into what visitors of a site are sent.
const PUBLIC: [&str; 3] = ["NEXT_PUBLIC_", "VITE_", "EXPO_PUBLIC_"];

#[tokio::test]
async fn clients_sign_up_and_in_with_exported_variables() {
    clients_sign_in(Emulator::for_amd64()).await;
}

pub(crate) async fn clients_sign_in(emulator: Emulator) {
    let started = emulator.start(&[]).await;
    let exported = variables(&emulator, &[]).await;
    assert_eq!(exported["STACK_PROJECT_ID"], PROJECT);
    no_secret_is_public(&exported, &started);
    commands_get(&emulator, &exported).await;
    sign_in_with_each(&emulator, &[], "internal").await;
    let signed_up = users(&started).await;
    assert!(CLIENTS.iter().all(|client| signed_up.contains(&address(client, "internal"))), "{signed_up:?}");

    // The project of a configuration file has users of its own.
    let file = emulator.home().scratch("stack.config.json");
    fs::write(&file, "{}").unwrap();
    let of_file = ["--config-file", file.to_str().unwrap()];
    let project = variables(&emulator, &of_file).await;
    assert_ne!(project["STACK_PROJECT_ID"], PROJECT);
    for name in exported.keys().filter(|name| name.contains("KEY") || name.contains("PROJECT")) {
        assert_ne!(project[name], exported[name], "{name}");
    }
    sign_in_with_each(&emulator, &of_file, "of-a-file").await;
    assert_eq!(users(&started).await.len(), signed_up.len());
    assert_eq!(variables(&emulator, &of_file).await, project);

    emulator.run(&["rotate"]).await.expect(0);
    let renewed = variables(&emulator, &[]).await;
    assert_ne!(renewed["STACK_SECRET_SERVER_KEY"], exported["STACK_SECRET_SERVER_KEY"]);
    sign_in_with_each(&emulator, &[], "renewed").await;
    emulator.finish().await;
    emulator.run(&["env"]).await.expect(3);
}

fn address(client: &str, when: &str) -> String {
    let (client, kind) = client.split_once('.').unwrap();
    format!("{client}.{kind}.{when}@example.com")
}

/// `emulator run` gives a command what `emulator env` prints.
async fn commands_get(emulator: &Emulator, exported: &Variables) {
    let given = emulator.run_beside(&[], &["env", "-0"]).await.expect(0).stdout;
    let given: Variables = given
        .split_terminator('\0')
        .filter_map(|variable| variable.split_once('='))
        .filter(|(name, _)| exported.contains_key(*name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(given, *exported);
}

async fn sign_in_with_each(emulator: &Emulator, flags: &[&str], when: &str) {
    for client in CLIENTS {
        let address = address(client, when);
        let user = clients::run(emulator, flags, client, &address).await.expect(0).json();
        assert_eq!(user["primary_email"], json!(address), "{client}");
    }
}

fn no_secret_is_public(exported: &Variables, started: &Started) {
    let secrets: Vec<_> =
        started.secrets.iter().filter(|(name, _)| *name != "publishable_client_key").collect();
    for (name, value) in exported {
        if PUBLIC.iter().any(|prefix| name.starts_with(prefix)) {
            assert!(!secrets.iter().any(|(_, secret)| value.contains(secret.as_str())), "{name} is secret");
        }
    }
    let public: BTreeSet<_> = exported.keys().filter_map(|name| name.strip_prefix("VITE_")).collect();
    let expected =
        ["STACK_API_URL", "STACK_DASHBOARD_URL", "STACK_PROJECT_ID", "STACK_PUBLISHABLE_CLIENT_KEY"];
    assert_eq!(public, expected.into());
    assert!(!exported.values().any(|value| value.contains(&started.secrets["cron_secret"])));
}

#[tokio::test]
async fn every_reader_reads_back_what_was_exported() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    read_back(&emulator, &[], &variables(&emulator, &[]).await).await;

    // Values that a reader could take for something else, as a backend could give them.
    let file = emulator.home().scratch("stack.config.json");
    fs::write(&file, "{}").unwrap();
    let of_file = ["--config-file", file.to_str().unwrap()];
    for values in [
        ["two\nlines\n", "it's", "\"double\"", "it's \"both\""],
        ["$HOME `id` $(id)", "back\\slash \\n", "# no comment", "a # b"],
        [" spaces around ", "", "it's\r\nWindows", "A=B;C&D|E>F"],
        ["ends with \\", "\u{2019}\u{e4}\u{1f600}", "it's \\x", "export A=1\nB='2"],
    ] {
        let backend = Hostile::instead_of_the_backend(&emulator, values).await;
        let exported = variables(&emulator, &of_file).await;
        assert_eq!(exported["VITE_STACK_PROJECT_ID"], values[0]);
        assert_eq!(exported["STACK_SUPER_SECRET_ADMIN_KEY"], values[3]);
        read_back(&emulator, &of_file, &exported).await;
        backend.give_back(&emulator);
    }
    for value in ["${HOME}", "'\n\""] {
        let backend = Hostile::instead_of_the_backend(&emulator, [value, "", "", ""]).await;
        let refused = emulator.run(&[&["env"], &of_file[..]].concat()).await.expect(1).stderr;
        assert!(refused.contains("the value of `STACK_PROJECT_ID` cannot be written"), "{refused}");
        let exported = variables(&emulator, &of_file).await;
        assert_eq!(exported["STACK_PROJECT_ID"], value);
        shells_read_back(&emulator, &of_file, &exported).await;
        backend.give_back(&emulator);
    }
    emulator.finish().await;
}

/// Has every reader read what `emulator env` prints for it.
async fn read_back(emulator: &Emulator, more: &[&str], expected: &Variables) {
    let file = emulator.home().scratch("variables");
    let path = file.to_str().unwrap();
    fs::write(&file, printed(emulator, "dotenv", more).await).unwrap();
    for reader in ["read-dotenv.cjs", "read_dotenv.py"] {
        let read = finished(client(reader).arg(path).spawn().unwrap()).await.expect(0);
        let read: Variables = serde_json::from_str(&read.stdout).unwrap();
        assert_eq!(read, *expected, "{reader}");
    }
    shells_read_back(emulator, more, expected).await;
}

async fn shells_read_back(emulator: &Emulator, more: &[&str], expected: &Variables) {
    let file = emulator.home().scratch("variables");
    fs::write(&file, printed(emulator, "shell", more).await).unwrap();
    let names: Vec<_> = expected.keys().map(String::as_str).collect();
    for shell in ["sh", "bash"] {
        let script = r#". "$0"; for name; do eval "value=\$$name"; printf '%s\0' "$value"; done"#;
        let read = Cmd::new(shell).args(["-euc", script]).arg(&file).args(&names).output().await.unwrap();
        let read = String::from_utf8(read).unwrap();
        let values: Vec<_> = read.strip_suffix('\0').unwrap().split('\0').collect();
        assert_eq!(values, expected.values().collect::<Vec<_>>(), "{shell}");
    }
}

async fn printed(emulator: &Emulator, format: &str, more: &[&str]) -> String {
    emulator.run(&[&["env", "-o", format], more].concat()).await.expect(0).stdout
}

/// What answers about projects instead of the backend.
struct Hostile {
    record: String,
    server: JoinHandle<()>,
}

impl Hostile {
    /// Leads the instance's port of the backend to a server that gives these values.
    async fn instead_of_the_backend(emulator: &Emulator, values: [&str; 4]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let [id, client, server, admin] = values;
        let body = json!({
            "project_id": id,
            "publishable_client_key": client,
            "secret_server_key": server,
            "super_secret_admin_key": admin,
        });
        let path = emulator.dir().live();
        let record = fs::read_to_string(&path).unwrap();
        let mut live: Value = serde_json::from_str(&record).unwrap();
        let ports = live["stack"]["ports"].as_array_mut().unwrap();
        let port = ports.iter_mut().find(|port| port["name"] == "backend").unwrap();
        port["host"] = json!(listener.local_addr().unwrap().port());
        record::write(&path, &live).unwrap();
        Self { record, server: tokio::spawn(serve(listener, body.to_string())) }
    }

    fn give_back(self, emulator: &Emulator) {
        self.server.abort();
        fs::write(emulator.dir().live(), self.record).unwrap();
    }
}

async fn serve(listener: TcpListener, body: String) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request has a body");
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let answer = format!("{head} {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
