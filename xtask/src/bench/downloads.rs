//! Pulling a large image from loopback, beside what `curl` and `sha256sum` take for the same bytes on the same disk.

use std::fs::File;
use std::io::{self, BufWriter, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base::events::{Phase, Reporter, Unit};
use base::files::create_private_dir;
use base::process::Cmd;
use fake_github::{Content, GitHub, PullRequest, Release, Run};
use image::arch::Arch;
use image::stack::DEFAULT_STACK;
use release::names::Names;
use tempfile::TempDir;
use time::OffsetDateTime;
use vm::home::{HOME_VARIABLE, Home};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::memory_use;
use super::statistics::{Spread, median_count};
use super::table::{mib, shown, table};

/// Size of the image: a real one, and behind it bytes that do not compress, which no reader of the format looks at.
const BYTES: u64 = 2_000_000_000;

/// The repository that the images are pulled from.
const REPO: &str = "stack/emulator";

/// Its token.
const TOKEN: &str = "token";

/// The pull request that the artifact was built for.
const PULL_REQUEST: u64 = 1;

/// How often the memory of a running program is looked at; what counts is the most that it ever had, which the kernel keeps.
const LOOK: Duration = Duration::from_millis(20);

/// A server with the image as a release and as an artifact, and a home to pull it into.
pub(crate) struct Downloads {
    server: GitHub,
    emulator: PathBuf,
    arch: Arch,
    dir: TempDir,
}

/// What one way of getting the bytes took.
#[derive(Default)]
struct Taken {
    seconds: Vec<f64>,
    peaks: Vec<u64>,
}

impl Downloads {
    /// Makes the image out of the one in `source`, and an archive of it, on the same disk.
    ///
    /// # Errors
    /// When there is no room for them.
    pub(crate) fn prepare(
        emulator: &Path,
        source: &Home,
        arch: Arch,
        reporter: &dyn Reporter,
    ) -> anyhow::Result<Self> {
        let phase = Phase::start(reporter, "bench-image", "Make a large image and an archive of it");
        let dir = tempfile::Builder::new().prefix(".bench-").tempdir_in(source.root())?;
        let (image, archive) = (dir.path().join("image"), dir.path().join("archive"));
        make_image(&source.image(arch), &image).context("cannot make a large image")?;
        make_archive(&image, arch, &archive).context("cannot make an archive")?;
        create_private_dir(&dir.path().join("home"))?;
        std::os::unix::fs::symlink(source.qemu(), Home::new(dir.path().join("home")).qemu())?;
        let server = GitHub::start();
        publish(&server, arch, Content::file(&image)?, Content::file(&archive)?);
        phase.done();
        Ok(Self { server, emulator: emulator.to_owned(), arch, dir })
    }

    /// Gets the bytes `count` times in every way, and shows what that took.
    ///
    /// # Errors
    /// When one of the programs fails.
    pub(crate) async fn table(&self, count: usize, reporter: &dyn Reporter) -> anyhow::Result<String> {
        let pulls: [(&str, &[&str]); 2] =
            [("pull of a release", &["--branch", "dev"]), ("pull of a pull request's zip", &["--pr", "1"])];
        let mut plain = Taken::default();
        let mut pulled = pulls.map(|_| Taken::default());
        let phase = Phase::start(reporter, "bench-rounds", "Measure");
        for round in 0..count {
            phase.progress(round as u64, Some(count as u64), Unit::Steps);
            plain.seconds.push(self.curl_and_sha256sum().await?);
            for ((_, args), taken) in pulls.iter().zip(&mut pulled) {
                self.pull(args, taken).await?;
            }
        }
        phase.done();
        let plain = plain.row("curl, then sha256sum", None)?;
        let rows = pulls.iter().zip(pulled).map(|((name, _), taken)| taken.row(name, Some(plain.1)));
        let mut all = vec![plain.0];
        for row in rows {
            all.push(row?.0);
        }
        Ok(table(["WAY", "MEDIAN", "MIN", "MAX", "RATIO", "PEAK RSS"], 1..6, all))
    }

    async fn curl_and_sha256sum(&self) -> anyhow::Result<f64> {
        let target = self.dir.path().join("curled");
        let url = format!(
            "{}/{REPO}/releases/download/{}/{}",
            self.server.web_url(),
            Names::of(DEFAULT_STACK).rolling_tag("dev"),
            self.arch.image_file()
        );
        let curl = Cmd::new("curl").args(["--silent", "--fail", "--location", "--noproxy", "*", "--output"]);
        let (curl, sum) = (curl.arg(&target).arg(url), Cmd::new("sha256sum").arg(&target));
        rustix::fs::sync();
        let begun = Instant::now();
        curl.output().await?;
        sum.output().await?;
        let seconds = begun.elapsed().as_secs_f64();
        std::fs::remove_file(&target)?;
        Ok(seconds)
    }

    async fn pull(&self, args: &[&str], taken: &mut Taken) -> anyhow::Result<()> {
        let log = self.dir.path().join("log");
        let pull = Cmd::new(&self.emulator)
            .args([
                "pull",
                "--quiet",
                "--force",
                "--skip-snapshot",
                "--repo",
                REPO,
                "--arch",
                self.arch.as_str(),
            ])
            .args(args)
            .env(HOME_VARIABLE, self.dir.path().join("home"))
            .env("GITHUB_API_URL", self.server.api_url())
            .env("GITHUB_TOKEN", TOKEN);
        rustix::fs::sync();
        let begun = Instant::now();
        let mut child = pull.spawn_detached(&log)?;
        let pid = i32::try_from(child.id().context("it runs")?)?;
        let mut peak = 0;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = tokio::time::sleep(LOOK) => peak = peak.max(memory_use::peak(pid).unwrap_or_default()),
            }
        };
        taken.seconds.push(begun.elapsed().as_secs_f64());
        taken.peaks.push(peak);
        ensure!(status.success(), "`{}`: {}", pull.argv(), std::fs::read_to_string(&log)?);
        Ok(())
    }
}

impl Taken {
    /// A row of the table, and the median.
    fn row(self, name: &str, plain: Option<f64>) -> anyhow::Result<([String; 6], f64)> {
        let spread = Spread::of(&self.seconds).context("nothing was measured")?;
        let ratio = plain.map_or_else(String::new, |plain| format!("{:.2}", spread.median / plain));
        let peak = median_count(self.peaks).map_or_else(String::new, mib);
        let [median, min, max] = [spread.median, spread.min, spread.max].map(shown);
        Ok(([name.to_owned(), median, min, max, ratio, peak], spread.median))
    }
}

fn publish(server: &GitHub, arch: Arch, image: Content, archive: Content) {
    let mut world = server.world();
    world.tokens.insert(TOKEN.to_owned());
    let release =
        Release::published(&Names::of(DEFAULT_STACK).rolling_tag("dev"), OffsetDateTime::UNIX_EPOCH);
    let release = world.add_release(REPO, release);
    world.add_asset(REPO, release, &arch.image_file(), image);
    let sha = "0".repeat(40);
    world.repo(REPO).pulls.insert(PULL_REQUEST, PullRequest::open(REPO, "dev", &sha));
    let run = world.add_run(REPO, Run::succeeded(REPO, "dev", &sha));
    world.add_artifact(REPO, run, &Names::of(DEFAULT_STACK).artifact(arch), archive);
}

fn make_image(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    let length = io::copy(&mut File::open(from)?, &mut file)?;
    io::copy(&mut File::open("/dev/urandom")?.take(BYTES.saturating_sub(length)), &mut file).map(drop)
}

/// Zips as the action that uploads artifacts does.
fn make_archive(image: &Path, arch: Arch, to: &Path) -> anyhow::Result<()> {
    let mut zip = ZipWriter::new(BufWriter::new(File::create(to)?));
    zip.start_file(arch.image_file(), SimpleFileOptions::default().large_file(true))?;
    io::copy(&mut File::open(image)?, &mut zip)?;
    zip.finish()?;
    Ok(())
}
