//! What an image is built from: the platform, `cloud-init/` in this repository, and a stack: a directory, or a compose file with its
//! images. `docs/image.md` lists the files of both directories.

mod services;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::arch::Arch;
use image::description::{Description, Mismatch, Problem, ServiceFile, StackFile};

use crate::containers::{self, Composed, Part};
use crate::inputs::{InputError, Key};

pub use services::ServiceDir;

/// Files of the `NoCloud` seed.
pub const SEED_FILES: [&str; 3] = ["user-data", "meta-data", "network-config"];

/// The description of a stack.
pub(crate) const STACK_FILE: &str = "stack.toml";

/// The tree of a stack or a service that is copied over the guest's root.
const FILES: &str = "files";

/// The part of the platform's directory that only counts for the stacks that use it.
const STACKS: &str = "stacks";
const SERVICES: &str = "services";

/// The list of packages.
const BASE_PACKAGES: &str = "base/packages";

/// The list of packages that are removed when the image is sealed.
const PROVISIONING_PACKAGES: &str = "base/provisioning-packages";

/// The list of modules.
const INITRD_MODULES: &str = "base/initrd-modules";

/// The kernel command line.
const CMDLINE: &str = "cmdline";

/// The placeholder in a list for the architecture by Debian's name.
const ARCH: &str = "{arch}";

/// What shapes the base: a directory of the platform, and one of each service that needs it.
const BASE: &str = "base";

/// The hooks, in such a directory.
const HOOKS: &str = "hooks";

/// dpkg's settings, in such a directory: which paths are left out.
const DPKG_SETTINGS: &str = "dpkg.cfg.d";

/// The directories that an image is built from, and their descriptions.
#[derive(Debug, Clone)]
pub struct Source {
    dir: PathBuf,
    stack_dir: Option<PathBuf>,
    /// What the stack consists of beside directories, if a compose file describes it.
    pub composed: Option<Composed>,
    /// The stack's services, in the order in which they are started.
    pub services: Vec<ServiceDir>,
    /// The stack.
    pub described: Description,
    /// Packages that the image has, besides the distribution's essential ones and what they need.
    pub packages: Vec<String>,
    /// Packages that only provisioning needs: the base has them, the image does not.
    pub provisioning_packages: Vec<String>,
    /// Kernel modules of the fast initial RAM file system, without those that they depend on.
    pub initrd_modules: Vec<String>,
    /// Kernel command line.
    pub cmdline: String,
}

/// Why a directory does not describe a platform or a stack.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or directory of it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A directory describes no stack.
    #[error("there is neither a compose file nor a `{STACK_FILE}` in `{}`", .0.display())]
    NoStack(PathBuf),
    /// Something in one of its trees cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A description is wrong.
    #[error("`{}` is not valid", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Problem,
    },
    /// A stack lists a service that does not exist.
    #[error(
        "`{}`: `services`: there is no `{name}`: neither `{}` nor `{}` exists",
        path.display(), own.display(), common.display()
    )]
    NoService {
        /// The stack's description.
        path: PathBuf,
        /// What it lists.
        name: String,
        /// Where a service of the stack alone would be.
        own: PathBuf,
        /// Where a service for all stacks would be.
        common: PathBuf,
    },
    /// A service has no unit.
    #[error("`{}`: `unit`: there is no file `{}`", path.display(), unit.display())]
    NoUnit {
        /// The service's description.
        path: PathBuf,
        /// Where the unit would be.
        unit: PathBuf,
    },
    /// Something is in the directory of a service that would not reach the guest.
    #[error("`{}` is not part of a service: those are `service.toml`, units, and the trees `base` and `files`", .0.display())]
    Stray(PathBuf),
    /// Something lies there that would not shape the base.
    #[error("`{}` is not part of what a service adds to the base: those are `{HOOKS}` and `{DPKG_SETTINGS}`", .0.display())]
    StrayInBase(PathBuf),
}

impl Source {
    /// Reads the platform in `dir` and the stack in `stack` as they are for `arch`: what only one architecture has is in a file with its
    /// name, `cmdline.arm64` beside `cmdline`.
    ///
    /// # Errors
    /// When a file is missing or not valid.
    pub fn open(dir: &Path, stack: &Path, arch: Arch) -> Result<Self, SourceError> {
        let it = described(dir, stack)?;
        Self::read(dir, it, arch, |source| Self { stack_dir: Some(stack.to_owned()), ..source })
    }

    /// Reads the platform in `dir`, and takes the stack from a compose file and its images. Native services of its own are in
    /// `services` beside the compose file.
    ///
    /// # Errors
    /// When a file is missing or not valid.
    pub fn of_compose(dir: &Path, composed: Composed, arch: Arch) -> Result<Self, SourceError> {
        let it = described_by(dir, &composed)?;
        Self::read(dir, it, arch, |mut source| {
            source.packages.extend(containers::PACKAGES.map(str::to_owned));
            if composed.limits_memory {
                let words = source.cmdline.split(' ').filter(|word| *word != containers::NO_MEMORY_LIMITS);
                source.cmdline = words.collect::<Vec<_>>().join(" ");
            }
            Self { composed: Some(composed), ..source }
        })
    }

    fn read(
        dir: &Path,
        stack: Stack,
        arch: Arch,
        complete: impl FnOnce(Self) -> Self,
    ) -> Result<Self, SourceError> {
        let Stack { description, services } = stack;
        let named = |packages: Vec<String>| {
            packages.iter().map(|name| name.replace(ARCH, arch.as_str())).collect::<Vec<_>>()
        };
        let mut packages = entries(&read(&dir.join(BASE_PACKAGES))?);
        packages.extend_from_slice(&description.packages);
        let cmdlines = [read(&dir.join(CMDLINE))?, read(&dir.join(format!("{CMDLINE}.{arch}")))?];
        Ok(complete(Self {
            dir: dir.to_owned(),
            stack_dir: None,
            composed: None,
            services,
            described: description,
            packages: named(packages),
            provisioning_packages: named(entries(&read(&dir.join(PROVISIONING_PACKAGES))?)),
            initrd_modules: entries(&read(&dir.join(INITRD_MODULES))?),
            cmdline: cmdlines.iter().flat_map(|text| entries(text)).collect::<Vec<_>>().join(" "),
        }))
    }

    /// Computes the key of everything that is read: of the platform, the stack, and those services that it lists.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn key(&self) -> Result<String, SourceError> {
        let mut key = Key::default();
        for path in list(&self.dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if ![STACKS, SERVICES].contains(&name.as_str()) {
                key = key.tree(&name, &path)?;
            }
        }
        for service in &self.services {
            key = key.tree(&format!("{SERVICES}/{}", service.name), &service.dir)?;
        }
        for name in [STACK_FILE, FILES] {
            if let Some(path) = self.stack_dir.as_ref().map(|dir| dir.join(name)).filter(|path| path.exists())
            {
                key = key.tree(name, &path)?;
            }
        }
        if let Some(composed) = &self.composed {
            key = key.value("composed", composed.key_text());
        }
        Ok(key.finish())
    }

    /// Packages that the base consists of, besides the distribution's essential ones.
    pub fn base_packages(&self) -> Vec<String> {
        [self.packages.as_slice(), self.provisioning_packages.as_slice()].concat()
    }

    /// The directories that shape the base, the platform's first. They are laid over each other, and none has a file of another.
    pub fn base(&self) -> Vec<PathBuf> {
        let services = self.services.iter().filter_map(|service| service.base.clone());
        std::iter::once(self.dir.join(BASE)).chain(services).collect()
    }

    /// What in these directories, besides the lists of packages, decides about the content of the base.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn base_inputs(&self) -> Result<Vec<PathBuf>, SourceError> {
        let lists = [BASE_PACKAGES, PROVISIONING_PACKAGES, INITRD_MODULES].map(|name| self.dir.join(name));
        let mut inputs = Vec::new();
        for dir in self.base() {
            inputs.extend(list(&dir)?.into_iter().filter(|path| !lists.contains(path)));
        }
        Ok(inputs)
    }

    /// The tree that is copied over every guest's root.
    pub fn platform(&self) -> PathBuf {
        self.dir.join("platform")
    }

    /// The stack's tree that is copied over the guest's root, if it has one.
    pub fn stack_files(&self) -> Option<PathBuf> {
        self.stack_dir.as_ref().map(|dir| dir.join(FILES)).filter(|dir| dir.exists())
    }

    /// Programs that run in the new root after its packages are installed, in order; relative to [`Source::base`].
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn hooks(&self) -> Result<Vec<PathBuf>, SourceError> {
        self.in_base(HOOKS)
    }

    /// Files with settings of dpkg, in order; relative to [`Source::base`].
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn dpkg_settings(&self) -> Result<Vec<PathBuf>, SourceError> {
        self.in_base(DPKG_SETTINGS)
    }

    fn in_base(&self, name: &str) -> Result<Vec<PathBuf>, SourceError> {
        let platform = self.dir.join(BASE).join(name);
        // A service may add to one of them only; without the platform's there is no base.
        let dirs = self.base().into_iter().map(|base| base.join(name));
        let mut files = Vec::new();
        for dir in dirs.filter(|dir| *dir == platform || dir.exists()) {
            let found = list(&dir)?;
            files.extend(found.iter().filter_map(|path| Some(Path::new(name).join(path.file_name()?))));
        }
        files.sort();
        Ok(files)
    }

    /// The directory of what turns the distribution's cloud image into a base: a seed of its own and steps.
    pub fn cloud(&self) -> PathBuf {
        self.dir.join("cloud")
    }

    /// The directory of what every virtual machine does that builds a base.
    pub fn machine(&self) -> PathBuf {
        self.dir.join("machine")
    }

    /// The directory of what turns unpacked packages into a base: a program to boot into, and steps.
    pub fn second_stage(&self) -> PathBuf {
        self.dir.join("second-stage")
    }

    /// Reads that program.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn second_stage_init(&self) -> Result<Vec<u8>, SourceError> {
        let path = self.second_stage().join("init");
        fs::read(&path).map_err(|source| SourceError::Read { path, source })
    }

    /// Reads the files of the `NoCloud` seed by name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn seed(&self) -> Result<Vec<(&'static str, Vec<u8>)>, SourceError> {
        seed(&self.dir)
    }

    /// Reads the files of the `NoCloud` seed that turns the distribution's cloud image into a base.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn cloud_seed(&self) -> Result<Vec<(&'static str, Vec<u8>)>, SourceError> {
        seed(&self.cloud())
    }
}

fn seed(dir: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, SourceError> {
    let read = |name| {
        let path = dir.join(name);
        Ok((name, fs::read(&path).map_err(|source| SourceError::Read { path, source })?))
    };
    SEED_FILES.into_iter().map(read).collect()
}

/// A stack as its directory describes it.
struct Stack {
    description: Description,
    services: Vec<ServiceDir>,
}

/// Reads the stack in `stack`. A service of its own takes precedence over the one of the same name in the platform's directory `dir`.
fn described(dir: &Path, stack: &Path) -> Result<Stack, SourceError> {
    let path = stack.join(STACK_FILE);
    let invalid = |path: &Path| {
        let path = path.to_owned();
        move |source| SourceError::Invalid { path, source }
    };
    if stack.is_dir() && !path.exists() {
        return Err(SourceError::NoStack(stack.to_owned()));
    }
    let file = StackFile::parse(&read(&path)?).map_err(invalid(&path))?;
    let (mut dirs, mut files) = (Vec::new(), Vec::new());
    for name in &file.services {
        let (found, described) = service(&path, stack, dir, name)?;
        if let Some(process) = described.part_of.as_ref()
            && !file.services.contains(process)
            && !files.iter().any(|(other, _)| other == process)
        {
            let (found, described) = service(&path, stack, dir, process)?;
            dirs.push(found);
            files.push((process.clone(), described));
        }
        dirs.push(found);
        files.push((name.clone(), described));
    }
    merged(path, file, &files, dirs)
}

/// Reads the native services of a stack that a compose file describes, and puts them together with its containers.
fn described_by(dir: &Path, composed: &Composed) -> Result<Stack, SourceError> {
    let beside = composed.path.parent().unwrap_or(Path::new("."));
    let (mut dirs, mut files) = (Vec::new(), Vec::new());
    for part in &composed.services {
        match part {
            Part::Native { name, ports } => {
                let (service, mut file) = service(&composed.path, beside, dir, name)?;
                file.ports.extend_from_slice(ports);
                dirs.push(service);
                files.push((name.clone(), file));
            }
            Part::Container { name, file, .. } => files.push((name.clone(), ServiceFile::clone(file))),
        }
    }
    let mut stack = merged(composed.path.clone(), composed.stack.clone(), &files, dirs)?;
    let is_container = |name: &str| {
        let mut parts = composed.services.iter();
        parts.any(|part| matches!(part, Part::Container { .. }) && part.name() == name)
    };
    for service in &mut stack.description.stack.services {
        service.container = is_container(&service.name);
    }
    Ok(stack)
}

/// Opens the service `name` that `path` lists: the one beside it, or the platform's.
fn service(
    path: &Path,
    stack: &Path,
    dir: &Path,
    name: &str,
) -> Result<(ServiceDir, ServiceFile), SourceError> {
    let places = [stack, dir].map(|parent| parent.join(SERVICES).join(name));
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return ServiceDir::open(name, found);
    }
    let [own, common] = places;
    Err(SourceError::NoService { path: path.to_owned(), name: name.to_owned(), own, common })
}

/// Reads the descriptions of all services of the platform in `dir`, and of those in `stack` with one of these `names`, which take
/// precedence.
pub(crate) fn descriptions<'a>(
    dir: &Path,
    stack: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, ServiceFile>, SourceError> {
    let own = names.map(|name| stack.join(SERVICES).join(name));
    let mut files = BTreeMap::new();
    for path in list(&dir.join(SERVICES))?.into_iter().chain(own).filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, services::description(&path)?);
    }
    Ok(files)
}

/// Merges the descriptions of services. What is wrong is in the description of one of `dirs`, or in `path`.
fn merged(
    path: PathBuf,
    file: StackFile,
    files: &[(String, ServiceFile)],
    dirs: Vec<ServiceDir>,
) -> Result<Stack, SourceError> {
    let description = Description::merge(file, files).map_err(|Mismatch { service, problem }| {
        let of = dirs.iter().find(|dir| service.as_ref() == Some(&dir.name));
        SourceError::Invalid { path: of.map_or(path, ServiceDir::file), source: problem }
    })?;
    Ok(Stack { description, services: dirs })
}

fn read(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|source| SourceError::Read { path: path.to_owned(), source })
}

/// Paths of everything in `dir`, sorted.
fn list(dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> =
            fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    list().map_err(|source| SourceError::Read { path: dir.to_owned(), source })
}

/// The words of a list file: one or more per line, `#` begins a comment.
fn entries(text: &str) -> Vec<String> {
    text.lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
