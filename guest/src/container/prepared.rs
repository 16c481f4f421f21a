//! A container that is ready to be started: its root, network, volumes and files, and what `crun` reads about it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use base::files::{PRIVATE_FILE, remove_if_there, write_json};
use protocol::containers::Container;

use super::{
    accounts::User,
    all,
    checks::Check,
    config::{self, Places},
    environment::{Session, Variables},
    exec::TEMPLATE,
    files::Files,
    namespace::Namespace,
    process::Template,
    program::{Crun, End, Program},
    root::Root,
    signal, volumes,
};

/// The directory of `config.json` in the runtime directory.
const BUNDLE: &str = "bundle";

/// The mounted root in the runtime directory.
const ROOT: &str = "root";

/// The file with the process of a health check.
const CHECK: &str = "check.json";

/// The file with the process id of a health check.
const CHECK_PID: &str = "check.pid";

/// A container that is ready to be started.
pub(super) struct Prepared {
    container: Container,
    runtime: PathBuf,
    namespace: Namespace,
    files: Files,
    user: User,
    variables: Variables,
    crun: Crun,
}

impl Prepared {
    /// Prepares `container` in its runtime directory.
    ///
    /// # Errors
    /// When something of it is missing, or the kernel refuses.
    pub(super) fn of(container: Container, runtime: &Path) -> anyhow::Result<Self> {
        let session = Session::read()?;
        let root = Root::mount(&container, &runtime.join(ROOT))?;
        let read = |path: &str| {
            let text = root.read(path).with_context(|| format!("cannot read `{path}` of the image"));
            text.map(Option::unwrap_or_default)
        };
        let user = User::find(container.user.as_deref(), &read("/etc/passwd")?, &read("/etc/group")?)?;
        volumes::create(&container, &root)?;
        Ok(Self {
            namespace: Namespace::create(container.address)?,
            files: Files::write(&container, &all()?, runtime, &session)?,
            variables: Variables::of(&container, &user.home, &session)?,
            crun: Crun::new(&container.name, runtime),
            runtime: runtime.to_owned(),
            container,
            user,
        })
    }

    /// Its description.
    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    /// Starts its program.
    ///
    /// # Errors
    /// When `crun` refuses, with its reason.
    pub(super) async fn start(&mut self) -> anyhow::Result<Program> {
        let template = Template { container: &self.container, user: &self.user, variables: &self.variables };
        let process = template.process(&config::args(&self.container));
        let files = self.files.mounted(&self.container);
        let places =
            Places { root: &self.runtime.join(ROOT), network: &self.namespace.path(), files: &files };
        let bundle = self.runtime.join(BUNDLE);
        std::fs::create_dir_all(&bundle).with_context(|| format!("cannot create `{}`", bundle.display()))?;
        let config = config::config(&self.container, &places, &process);
        write_json(&bundle.join("config.json"), &config, PRIVATE_FILE)?;
        if let Some(health) = &self.container.health {
            write_json(&self.runtime.join(CHECK), &template.process(&health.test), PRIVATE_FILE)?;
        }
        let program = self.crun.start(&bundle).await?;
        // From now on commands can be run in it.
        write_json(&self.runtime.join(TEMPLATE), &process, PRIVATE_FILE)?;
        Ok(program)
    }

    /// Ends its program.
    pub(super) async fn stop(&self, program: &Program) -> End {
        let signal = self.container.stop_signal.as_deref().unwrap_or(signal::USUAL);
        let limit = Duration::from_secs(self.container.stop_seconds.into());
        self.crun.stop(program, signal, limit).await
    }

    /// Removes what is known of a program that has ended.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) async fn forget(&self) -> anyhow::Result<()> {
        remove_if_there(&self.runtime.join(TEMPLATE))?;
        self.crun.forget().await
    }

    /// Reads the session's secrets again, and writes those in files. Returns whether the program has to be started again, because it has
    /// others in its environment.
    ///
    /// # Errors
    /// When the session lacks one, or a file cannot be written.
    pub(super) fn renew(&mut self) -> anyhow::Result<bool> {
        let session = Session::read()?;
        self.files.renew(&self.container, &session)?;
        let variables = Variables::of(&self.container, &self.user.home, &session)?;
        let changed = variables != self.variables;
        self.variables = variables;
        Ok(changed)
    }

    /// A health check of its program.
    pub(super) fn check(&self, limit: Duration) -> Check {
        Check {
            crun: self.crun.clone(),
            process: self.runtime.join(CHECK),
            pid: self.runtime.join(CHECK_PID),
            limit,
        }
    }
}
