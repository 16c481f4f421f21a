//! Why a compose file and its images do not make a stack.

use std::path::PathBuf;

use ::base::files::FileError;
use ::base::process::ProcessError;
use ::image::arch::Arch;
use ::image::description::Problem;
use compose::ComposeError;
use oci::OciError;

use super::find::ImagePlace;
use super::pointer::Pointer;

/// Why a compose file and its images do not make a stack.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    /// The compose file says what a machine cannot do.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// An archive has another image, or none.
    #[error(transparent)]
    Oci(#[from] Box<OciError>),
    /// Images are in none of the archives.
    #[error("{}", listed(missing))]
    Missing {
        /// Which ones.
        missing: Vec<Missing>,
        /// For which architecture.
        arch: Arch,
        /// Why `skopeo` has found none either.
        #[source]
        skopeo: Option<NotCopied>,
    },
    /// `skopeo` cannot copy an image from where the command line says.
    #[error("cannot copy the image `{place}`")]
    Copy {
        /// Where it should be.
        place: String,
        /// What went wrong.
        #[source]
        source: ProcessError,
    },
    /// An archive was named for something that is not there.
    #[error("`--image {name}={place}`: no service and no image of `{}` is called `{name}`", file.display())]
    Unused {
        /// What it was named for.
        name: String,
        /// Where the image is.
        place: ImagePlace,
        /// The compose file.
        file: PathBuf,
    },
    /// What follows from the compose file is not a valid stack.
    #[error("`{}` is not a valid stack", path.display())]
    Stack {
        /// The compose file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Problem,
    },
    /// The cache of layers cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What `skopeo` gives as its reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`skopeo` does not get them: {0}")]
pub struct NotCopied(pub(super) String);

/// An image that is in no archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The service.
    pub service: String,
    /// The reference of its image.
    pub reference: String,
}

/// One on each line.
fn listed(missing: &[Missing]) -> String {
    let one = |Missing { service, reference }: &Missing| {
        format!("there is no image `{reference}` for the service `{service}`")
    };
    missing.iter().map(one).collect::<Vec<_>>().join("\n")
}

impl From<OciError> for ContainersError {
    fn from(error: OciError) -> Self {
        Self::Oci(Box::new(error))
    }
}

impl ContainersError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { missing, arch, .. } => Some(commands(missing, *arch)),
            Self::Copy { source: ProcessError::NotFound { .. }, .. } => {
                Some("install `skopeo`, or name an archive of `docker save -o FILE IMAGE`".to_owned())
            }
            Self::Copy { place, .. } => Some(format!("try it alone: `skopeo inspect {place}`")),
            Self::Oci(error) => match &**error {
                OciError::Platform { wanted, .. } => Some(format!(
                    "make it for that platform: `docker build --platform {wanted} …` or `docker pull --platform {wanted} …`, then \
                     `docker save -o FILE IMAGE`"
                )),
                OciError::SeveralImages { .. } | OciError::NoSuchImage { .. } => {
                    Some("name the image as the archive does: `--image REFERENCE=FILE`".to_owned())
                }
                OciError::Layer { fault, .. } if fault.is_of_content() => {
                    Some("build the image without it: a machine unpacks no such layer".to_owned())
                }
                _ => Some("write the archive again with `docker save -o FILE IMAGE`".to_owned()),
            },
            Self::Unused { .. } => {
                Some("name a service of the compose file, or the reference of its image".to_owned())
            }
            // What is not YAML, or cannot be read, has no key.
            Self::Compose(error) if error.key.is_empty() => None,
            Self::Compose(_) => Some("`docs/compose.md` lists what of a compose file is applied".to_owned()),
            Self::Stack { .. } => Some("`docs/stacks.md` says what a stack needs".to_owned()),
            Self::File(_) => None,
        }
    }
}

/// The commands that make archives of these images, those of one on each line.
fn commands(missing: &[Missing], arch: Arch) -> String {
    let platform =
        if Arch::host() == Some(arch) { String::new() } else { format!(" --platform linux/{arch}") };
    let one = |Missing { service, reference }: &Missing| {
        format!(
            "`docker build{platform} -t {reference} .` or `docker pull{platform} {reference}`, then \
             `docker save -o {service}.tar {reference}` and `--image {service}={service}.tar`"
        )
    };
    missing.iter().map(one).collect::<Vec<_>>().join("\n")
}

impl Pointer<'_> {
    /// What is wrong with the stack as a whole.
    pub(super) fn stack(self, source: Problem) -> ContainersError {
        ContainersError::Stack { path: self.0.to_owned(), source }
    }
}
