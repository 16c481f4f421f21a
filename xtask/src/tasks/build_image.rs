//! `cargo xtask build-image`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use crate::packages::{self, Feature};
use anyhow::Context;
use base::console::{Console, seconds};
use base::events::{Event, Reporter};
use image::arch::Arch;
use image_build::base::{Base, CloudImage, Origin};
use image_build::build::{Outcome, Request, build};
use image_build::host_machine::Limits;
use vm::home::Home;

use crate::flags::{BaseKind, BuildImage};

/// Directory of the repository that describes the image.
const DESCRIPTION: &str = "cloud-init";

/// Has an up-to-date image for `arch` in `home`, building it unless it is there: from packages, or from the cloud image where this
/// host cannot have what installs them.
///
/// # Errors
/// When it cannot be built.
pub(crate) async fn ensure(home: &Home, arch: Arch, reporter: &dyn Reporter) -> anyhow::Result<Outcome> {
    let lacking = packages::missing(&[Feature::Bootstrap]).await;
    let unavailable: Vec<&str> =
        lacking.iter().filter(|one| !one.can_be_installed()).map(|one| one.name.as_str()).collect();
    let kind = kind_without(&unavailable);
    if kind == BaseKind::Cloud {
        let text = format!("this host cannot have {}", unavailable.join(", "));
        reporter.report(&Event::Notice(&format!("{text}: the base is made from Debian's cloud image")));
    }
    packages::ensure(features(kind), reporter).await?;
    if kind == BaseKind::Bootstrap {
        prepare_for(&[arch], reporter).await;
    }
    let workspace = workspace()?;
    let request = Request {
        arch,
        binfmt: true,
        source: workspace.join(DESCRIPTION),
        base: base(kind, None, None)?,
        refresh_base: false,
        force: false,
        home: home.clone(),
        output: None,
        cache: cache()?,
        memory_mib: None,
        cpus: None,
        limits: Limits::default(),
        workspace,
    };
    Ok(build(&request, reporter).await?)
}

/// What a base is made from on a host that cannot have these of the tools that install packages.
fn kind_without(unavailable: &[&str]) -> BaseKind {
    if unavailable.is_empty() { BaseKind::Bootstrap } else { BaseKind::Cloud }
}

/// What an image with such a base needs from the host.
fn features(kind: BaseKind) -> &'static [Feature] {
    match kind {
        BaseKind::Bootstrap => &[Feature::Bootstrap, Feature::Provision],
        BaseKind::Cloud => &[Feature::Provision],
    }
}

/// Installs what lets this machine run programs of `arches`, where they are not its own. Done without where that fails.
async fn prepare_for(arches: &[Arch], reporter: &dyn Reporter) {
    if arches.iter().all(|arch| Arch::host() == Some(*arch)) {
        return;
    }
    if let Err(error) = packages::ensure(&[Feature::Foreign], reporter).await {
        let text = error.to_string();
        reporter.report(&Event::Notice(text.lines().next().unwrap_or_default()));
    }
}

/// The checkout: tasks run in its root.
fn workspace() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("the working directory is gone")
}

fn cache() -> anyhow::Result<PathBuf> {
    base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")
}

impl BuildImage {
    /// Builds the image.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let json = self.json;
        packages::ensure(features(self.base), console).await?;
        let arches = self.arch.each();
        if self.base == BaseKind::Bootstrap && !self.no_binfmt {
            prepare_for(&arches, console).await;
        }
        let request = self.request()?;
        for arch in arches {
            let begun = Instant::now();
            let outcome = build(&Request { arch, ..request.clone() }, console).await?;
            summary(&outcome, begun, console);
            if json {
                let line = serde_json::to_string(&outcome)?;
                writeln!(io::stdout(), "{line}").context("cannot write to stdout")?;
            }
        }
        Ok(())
    }

    /// The request, for the first of the architectures.
    fn request(self) -> anyhow::Result<Request> {
        let workspace = workspace()?;
        Ok(Request {
            arch: self.arch.each()[0],
            binfmt: !self.no_binfmt,
            source: self.cloud_init.unwrap_or_else(|| workspace.join(DESCRIPTION)),
            base: base(self.base, self.cloud_image, self.cloud_sha512)?,
            refresh_base: self.refresh_base,
            force: self.force,
            home: Home::from_env().context("there is no home to work in")?,
            output: self.output,
            cache: cache()?,
            memory_mib: self.memory,
            cpus: self.cpus,
            limits: Limits { stall: self.stall_timeout, overall: self.timeout },
            workspace,
        })
    }
}

fn base(kind: BaseKind, image: Option<Origin>, sha512: Option<String>) -> anyhow::Result<Base> {
    match (kind, image) {
        (BaseKind::Bootstrap, None) => Ok(Base::Bootstrap),
        (BaseKind::Bootstrap, Some(_)) => anyhow::bail!("`--cloud-image` needs `--base cloud`"),
        (BaseKind::Cloud, image) => Ok(Base::Cloud(
            image.map(|origin| CloudImage { origin, sha512: sha512.map(|hex| hex.to_lowercase()) }),
        )),
    }
}

/// Some phases are under way at the same time, so that it is not their sum that a build takes.
fn summary(outcome: &Outcome, begun: Instant, console: &Console) {
    let Outcome { image, bytes, packages, debian, .. } = outcome;
    let state = if outcome.up_to_date { "is up to date" } else { "is built" };
    let took = if outcome.up_to_date { String::new() } else { format!(", {}", seconds(begun.elapsed())) };
    console.report(&Event::Notice(&format!(
        "`{}` {state}: {:.1} MiB, Debian {debian}, {packages} packages{took}",
        image.display(),
        *bytes as f64 / f64::from(1 << 20),
    )));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_bootstrap_tools_takes_the_cloud_image_and_needs_none_of_them() {
        assert_eq!(kind_without(&[]), BaseKind::Bootstrap);
        let kind = kind_without(&["mmdebstrap"]);
        assert_eq!(base(kind, None, None).unwrap(), Base::Cloud(None));
        assert!(!features(kind).contains(&Feature::Bootstrap));
    }
}
