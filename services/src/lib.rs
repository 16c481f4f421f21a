//! The services of a backend, in one process: each that a stack lists, and nothing of the others.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use guest::service;
use service_kit::{Part, variables::Variables};

/// The programs of the services.
#[derive(Debug, Subcommand)]
pub enum Programs {
    /// Serve services, all in one process
    Serve {
        /// The services
        #[arg(required = true)]
        services: Vec<Known>,
    },
    /// Bring the schemas of services up to date
    Schema {
        /// The services
        #[arg(required = true)]
        services: Vec<Known>,
    },
    /// Use all that services offer once, beside the process that serves them
    SelfTest {
        /// The services
        #[arg(required = true)]
        services: Vec<Known>,
    },
}

/// Crates that log every answer with an error.
const QUIET: [&str; 1] = ["s3s"];

/// A service that this program has.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Known {
    /// Messages that are caught
    #[cfg(feature = "mail")]
    Mail,
    /// Objects in buckets
    #[cfg(feature = "s3")]
    S3,
}

impl Known {
    fn open(self, variables: &Variables) -> anyhow::Result<Arc<dyn Part>> {
        match self {
            #[cfg(feature = "mail")]
            Self::Mail => mail::open(variables),
            #[cfg(feature = "s3")]
            Self::S3 => s3::open(variables),
        }
    }

    async fn migrate(self, variables: &Variables) -> anyhow::Result<()> {
        match self {
            #[cfg(feature = "mail")]
            Self::Mail => mail::migrate(variables).await,
            #[cfg(feature = "s3")]
            Self::S3 => s3::migrate(variables).await,
        }
    }
}

impl Programs {
    /// Runs the program.
    ///
    /// # Errors
    /// When it cannot do its job.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve { services } => service_kit::serve(&QUIET, || open(&services))?,
            Self::Schema { services } => {
                service::start_logging();
                let variables = Variables::read()?;
                service::run(async {
                    for it in services {
                        it.migrate(&variables).await?;
                    }
                    anyhow::Ok(())
                })??;
            }
            Self::SelfTest { services } => {
                service::start_logging();
                let parts = open(&services)?;
                service::run(async {
                    for part in parts {
                        let name = part.name();
                        part.self_test().await.with_context(|| format!("{name} does not work"))?;
                    }
                    anyhow::Ok(())
                })??;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn open(services: &[Known]) -> anyhow::Result<Vec<Arc<dyn Part>>> {
    let variables = Variables::read()?;
    services.iter().map(|it| it.open(&variables)).collect()
}
