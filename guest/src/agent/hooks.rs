//! Hooks for daemons that cannot take secrets while they run: placeholders in files are replaced, and units restarted.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use base::{
    files::{Owner, write_atomic_for},
    process::Cmd,
};
use protocol::{Hooks, Replace, Secret, containers};

/// The directory with copies of the files from before the first replacement, at the same paths.
pub(super) const PRISTINE: &str = "/var/lib/stack/pristine";

/// How long the units may take to restart.
const RESTART_LIMIT: Duration = Duration::from_mins(2);

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// Hooks whose secrets are all known.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What is replaced by what, by file.
    files: BTreeMap<PathBuf, Vec<(String, Secret)>>,
    restart: Vec<String>,
}

impl Plan {
    /// Finds the values. Without any secret there is nothing to do: the values have not changed.
    pub(super) fn of(hooks: &Hooks, secrets: &BTreeMap<String, Secret>) -> anyhow::Result<Self> {
        if secrets.is_empty() {
            return Ok(Self::default());
        }
        let mut files: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for Replace { file, secret, placeholder } in &hooks.replace {
            ensure!(file.starts_with('/'), "`{file}` is not an absolute path");
            ensure!(!placeholder.is_empty(), "the placeholder of secret `{secret}` in `{file}` is empty");
            let value = secrets
                .get(secret)
                .with_context(|| format!("there is no secret `{secret}` to put into `{file}`"))?;
            files.entry(PathBuf::from(file)).or_default().push((placeholder.clone(), value.clone()));
        }
        for unit in &hooks.restart {
            ensure!(!unit.is_empty() && !unit.starts_with('-'), "invalid unit `{unit}`");
        }
        Ok(Self { files, restart: hooks.restart.clone() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.restart.is_empty()
    }

    /// Replaces in every file, then restarts.
    pub(super) async fn carry_out(&self, pristine: &Path) -> anyhow::Result<()> {
        for (file, values) in &self.files {
            replace(file, values, pristine)?;
        }
        if self.restart.is_empty() {
            return Ok(());
        }
        let restart = Cmd::new("systemctl").arg("restart").args(&self.restart);
        let restarted = tokio::time::timeout(RESTART_LIMIT, restart.output()).await;
        restarted.with_context(|| {
            format!("`{}` took more than {} s", restart.argv(), RESTART_LIMIT.as_secs())
        })??;
        Ok(())
    }
}

/// Writes `file` again from its pristine copy, so that the values in it now do not matter.
fn replace(file: &Path, values: &[(String, Secret)], pristine: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(file).with_context(|| missing(file))?;
    let copy = pristine_copy(file, pristine)
        .with_context(|| format!("cannot keep a copy of `{}`", file.display()))?;
    let mut text = fs::read_to_string(&copy).with_context(|| format!("cannot read `{}`", copy.display()))?;
    for (placeholder, value) in values {
        ensure!(text.contains(placeholder), "`{}` has no placeholder `{placeholder}`", file.display());
        text = text.replace(placeholder, value.reveal());
    }
    let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
    write_atomic_for(owner, file, text.as_bytes(), metadata.mode() & PERMISSIONS)?;
    Ok(())
}

/// What is said of a file that cannot be found. One of a container has to be in what the container has written.
fn missing(file: &Path) -> String {
    let written = file.strip_prefix(containers::WRITABLE).ok();
    let container = written.and_then(|path| path.components().next()?.as_os_str().to_str());
    let in_container = container.and_then(|name| {
        let root = Path::new(containers::WRITABLE).join(name).join(containers::WRITTEN);
        file.strip_prefix(root).ok().map(|path| (name, path))
    });
    match in_container {
        Some((name, path)) => format!(
            "the container `{name}` has not written `/{}`: secrets are put only into files that it has written itself, and not \
             into those of its image and its volumes",
            path.display()
        ),
        None => format!("cannot find `{}`", file.display()),
    }
}

/// Finds the copy of `file` from before the first replacement, or creates it if this is the first.
fn pristine_copy(file: &Path, pristine: &Path) -> anyhow::Result<PathBuf> {
    let copy = pristine.join(file.strip_prefix("/")?);
    match fs::metadata(&copy) {
        Ok(_) => return Ok(copy),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(dir) = copy.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let metadata = fs::metadata(file)?;
    let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
    write_atomic_for(owner, &copy, &fs::read(file)?, metadata.mode() & PERMISSIONS)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Machine {
        dir: tempfile::TempDir,
    }

    impl Machine {
        /// A machine with one file that has two placeholders.
        fn new() -> Self {
            let machine = Self { dir: tempfile::tempdir().unwrap() };
            fs::write(machine.file(), "user=@USER@ pass=@PASS@ again=@PASS@\n").unwrap();
            fs::set_permissions(machine.file(), fs::Permissions::from_mode(0o640)).unwrap();
            machine
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("daemon.conf")
        }

        fn pristine(&self) -> PathBuf {
            self.dir.path().join("pristine")
        }

        fn hooks(&self) -> Hooks {
            let replace = |secret: &str, placeholder: &str| Replace {
                file: self.file().to_str().unwrap().to_owned(),
                secret: secret.to_owned(),
                placeholder: placeholder.to_owned(),
            };
            Hooks { replace: vec![replace("user", "@USER@"), replace("pass", "@PASS@")], restart: Vec::new() }
        }

        async fn resume(&self, hooks: &Hooks, user: &str, pass: &str) -> anyhow::Result<String> {
            let secrets = BTreeMap::from([
                ("user".to_owned(), Secret::new(user)),
                ("pass".to_owned(), Secret::new(pass)),
            ]);
            Plan::of(hooks, &secrets)?.carry_out(&self.pristine()).await?;
            Ok(fs::read_to_string(self.file())?)
        }
    }

    #[tokio::test]
    async fn every_resume_replaces_the_placeholders_whatever_was_there_before() {
        let machine = Machine::new();
        let hooks = machine.hooks();
        assert_eq!(machine.resume(&hooks, "a", "b").await.unwrap(), "user=a pass=b again=b\n");
        assert_eq!(machine.resume(&hooks, "c", "d").await.unwrap(), "user=c pass=d again=d\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & PERMISSIONS;
        let copy = machine.pristine().join(machine.file().strip_prefix("/").unwrap());
        assert_eq!((mode(&machine.file()), mode(&copy)), (0o640, 0o640));
        assert_eq!(mode(copy.parent().unwrap()), 0o700);
    }

    #[tokio::test]
    async fn a_missing_file_secret_or_placeholder_is_named() {
        let machine = Machine::new();
        let mut hooks = machine.hooks();
        hooks.replace[0].file = "/nonexistent/daemon.conf".to_owned();
        let error = machine.resume(&hooks, "a", "b").await.unwrap_err();
        assert_eq!(error.to_string(), "cannot find `/nonexistent/daemon.conf`");
        hooks.replace[0].file = "/var/lib/stack/writable/web/upper/etc/web.conf".to_owned();
        let error = machine.resume(&hooks, "a", "b").await.unwrap_err().to_string();
        assert!(error.starts_with("the container `web` has not written `/etc/web.conf`: "), "{error}");

        let mut hooks = machine.hooks();
        hooks.replace[0].secret = "missing".to_owned();
        let error = machine.resume(&hooks, "a", "b").await.unwrap_err().to_string();
        assert!(error.starts_with("there is no secret `missing`"), "{error}");

        let mut hooks = machine.hooks();
        hooks.replace[0].placeholder = "@MISSING@".to_owned();
        let error = machine.resume(&hooks, "a", "b").await.unwrap_err().to_string();
        assert!(error.ends_with("has no placeholder `@MISSING@`"), "{error}");
        hooks.replace[0].placeholder = String::new();
        assert!(machine.resume(&hooks, "a", "b").await.is_err());
    }

    #[test]
    fn without_new_secrets_there_is_nothing_to_do() {
        let machine = Machine::new();
        assert!(Plan::of(&machine.hooks(), &BTreeMap::new()).unwrap().is_empty());
    }

    #[test]
    fn an_option_is_not_a_unit() {
        let hooks = Hooks { restart: vec!["--force".to_owned()], ..Hooks::default() };
        let secrets = BTreeMap::from([("any".to_owned(), Secret::new("x"))]);
        assert_eq!(Plan::of(&hooks, &secrets).unwrap_err().to_string(), "invalid unit `--force`");
    }
}
