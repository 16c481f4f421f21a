use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vm::error::{Class, Explain};
use vm::home::Home;

use super::super::live::tests::live;
use super::super::record::{self, ImageIdentity, Record, Session};
use super::*;
use crate::name::InstanceName;
use crate::ports::PublishedPort;
use crate::secrets::fresh;

/// An instance of this repository's stack, of which only the records exist.
struct Fabricated {
    home: TempDir,
    instance: Instance,
    live: Live,
    secrets: Secrets,
}

fn fabricated() -> Fabricated {
    let home = tempfile::tempdir().unwrap();
    let instance = Instance::new(&Home::new(home.path()), InstanceName::default());
    let stack = fake_image::stack();
    let secrets = fresh(&stack.secrets).unwrap();
    let image = ImageIdentity { path: "/image".into(), sha256: [0; 32].into(), size: 5 };
    let session = Some(Session::new(image, None, Some(secrets.clone())));
    let record = Record { session, ..Record::new(InstanceName::default()) };
    fs::create_dir_all(instance.dir().root()).unwrap();
    record::write(&instance.dir().record(), &record).unwrap();
    let mut live = live(None, true);
    live.stack.ports = stack.ports.iter().map(PublishedPort::by_default).collect();
    live.stack.secrets = stack.secrets;
    live.stack.exports = Some(stack.exports);
    live.stack.project = stack.project;
    Fabricated { home, instance, live, secrets }
}

impl Fabricated {
    async fn values(&self, config_file: Option<&Path>) -> Result<BTreeMap<String, String>, InstanceError> {
        let exports = self.instance.exports(&self.live, config_file).await?;
        let pair = |variable: Variable| (variable.name, variable.value.reveal().to_owned());
        Ok(exports.variables.into_iter().map(pair).collect())
    }

    fn config_file(&self) -> PathBuf {
        let file = self.home.path().join("stack.config.json");
        fs::write(&file, "{}").unwrap();
        file
    }

    /// Has the backend answer with `head` and `body`, once. Gives what it was asked.
    async fn answering(&mut self, head: &str, body: String) -> JoinHandle<String> {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let backend = self.live.stack.ports.iter_mut().find(|port| port.name == "backend").unwrap();
        backend.host = listener.local_addr().unwrap().port();
        let head =
            format!("HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request has a body");
            }
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        })
    }
}

fn project() -> Value {
    json!({
        "project_id": "p-1",
        "publishable_client_key": "pck",
        "secret_server_key": "ssk",
        "super_secret_admin_key": "sak",
    })
}

#[tokio::test]
async fn variables_have_the_ports_and_secrets_of_the_session() {
    let it = fabricated();
    let values = it.values(None).await.unwrap();
    assert_eq!(values["STACK_API_URL"], "http://127.0.0.1:26701");
    assert_eq!(values["NEXT_PUBLIC_STACK_API_URL"], "http://127.0.0.1:26701");
    assert_eq!(values["STACK_DASHBOARD_URL"], "http://127.0.0.1:26700");
    assert_eq!(values["STACK_PROJECT_ID"], "internal");
    assert_eq!(values["STACK_SECRET_SERVER_KEY"], it.secrets["secret_server_key"].reveal());
    assert_eq!(values["VITE_STACK_PUBLISHABLE_CLIENT_KEY"], it.secrets["publishable_client_key"].reveal());
    assert_eq!(values["EMULATOR_INSTANCE"], "default");
    let exports = it.instance.exports(&it.live, None).await.unwrap();
    let secret = exports.variables.iter().filter(|variable| variable.secret);
    let names: Vec<_> = secret.map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["STACK_SECRET_SERVER_KEY", "STACK_SUPER_SECRET_ADMIN_KEY"]);
    assert!(!exports.unconfirmed);
    assert!(!format!("{exports:?}").contains(it.secrets["secret_server_key"].reveal()));
}

#[tokio::test]
async fn without_rotation_the_variables_are_the_placeholders() {
    let mut it = fabricated();
    it.live.run.rotated = false;
    let values = it.values(None).await.unwrap();
    let placeholder = |name: &str| {
        it.live.stack.secrets.iter().find(|secret| secret.name == name).unwrap().placeholder.clone()
    };
    assert_eq!(values["STACK_SECRET_SERVER_KEY"], placeholder("secret_server_key"));
}

#[tokio::test]
async fn secrets_that_are_not_recorded_are_an_error_and_in_doubt_is_said() {
    let it = fabricated();
    let path = it.instance.dir().record();
    let mut record = record::read::<Record>(&path).unwrap().unwrap();
    record.session.as_mut().unwrap().unconfirmed = true;
    record::write(&path, &record).unwrap();
    assert!(it.instance.exports(&it.live, None).await.unwrap().unconfirmed);
    record.session.as_mut().unwrap().secrets = None;
    record::write(&path, &record).unwrap();
    let error = it.values(None).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the record of instance `default` has no value for the secret `publishable_client_key`"
    );
}

#[tokio::test]
async fn a_configuration_file_replaces_the_project_and_its_keys() {
    let mut it = fabricated();
    let file = it.config_file();
    let asked = it.answering("200 OK", project().to_string()).await;
    let by_another_name = it.home.path().join("instances/../stack.config.json");
    let values = it.values(Some(&by_another_name)).await.unwrap();
    assert_eq!(values["STACK_PROJECT_ID"], "p-1");
    assert_eq!(values["EXPO_PUBLIC_STACK_PROJECT_ID"], "p-1");
    assert_eq!(values["STACK_PUBLISHABLE_CLIENT_KEY"], "pck");
    assert_eq!(values["STACK_SECRET_SERVER_KEY"], "ssk");
    assert_eq!(values["STACK_SUPER_SECRET_ADMIN_KEY"], "sak");
    assert!(values["STACK_API_URL"].starts_with("http://127.0.0.1:"));
    let request = asked.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/v1/internal/local-emulator/project HTTP/1.1\r\n"), "{head}");
    let key = it.secrets["publishable_client_key"].reveal();
    assert!(head.contains(&format!("x-stack-publishable-client-key: {key}")), "{head}");
    let file = file.canonicalize().unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), json!({ "absolute_file_path": file }));
}

#[tokio::test]
async fn without_a_file_or_projects_nothing_is_asked() {
    let mut it = fabricated();
    let gone = it.home.path().join("gone.json");
    let error = it.values(Some(&gone)).await.unwrap_err();
    assert_eq!(
        (error.class(), error.to_string()),
        (Class::Usage, format!("cannot find `{}`", gone.display()))
    );
    let error = it.values(Some(it.home.path())).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    assert!(error.to_string().ends_with("is not a file"), "{error}");
    it.live.stack.project = None;
    let error = it.values(Some(&it.config_file())).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    assert_eq!(error.to_string(), "the stack of instance `default` has no projects for configuration files");
}

#[tokio::test]
async fn a_refusal_and_an_unusable_answer_are_errors_without_secrets() {
    let mut it = fabricated();
    let file = it.config_file();
    let refusal = json!({ "code": "FILE_PATH_INVALID" }).to_string();
    let _asked = it.answering("400 Bad Request", refusal).await;
    let error = it.values(Some(&file)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(r#": it answered 400 Bad Request: {"code":"FILE_PATH_INVALID"}"#), "{text}");
    for (field, value) in [("secret_server_key", json!("a\0b")), ("secret_server_key", json!(7))] {
        let mut answer = project();
        answer[field] = value;
        let _asked = it.answering("200 OK", answer.to_string()).await;
        let text = it.values(Some(&file)).await.unwrap_err().to_string();
        assert!(text.ends_with("has no valid `secret_server_key`") && !text.contains("sak"), "{text}");
    }
    let _asked = it.answering("200 OK", "x".repeat(100_000)).await;
    assert_eq!(it.values(Some(&file)).await.unwrap_err().class(), Class::Failed);
}

#[test]
fn what_does_not_run_has_no_variables() {
    let home = tempfile::tempdir().unwrap();
    let instance = Instance::new(&Home::new(home.path()), InstanceName::default());
    assert_eq!(instance.running().unwrap_err().class(), Class::NotRunning);
    // One that has to be repaired first is not offered a start.
    assert_eq!(fabricated().instance.running().unwrap_err().class(), Class::Failed);
}
