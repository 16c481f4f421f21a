//! The project of a configuration file, as a service of the stack gives it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::files::FileError;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use image::stack::exports::ProjectRequest;
use protocol::Secret;
use serde_json::{Map, Value};
use vm::error::{Class, Explain};
use vm::utf8;

use super::Values;
use crate::instance::error::InstanceError;
use crate::instance::loopback::{self, Reading, Unanswered};
use crate::name::InstanceName;

/// How long the service may take, on hardware acceleration.
const PROJECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest answer in bytes.
const ANSWER_LIMIT: usize = 64 << 10;

/// Longest value in bytes.
const VALUE_LIMIT: usize = 16 << 10;

/// Why there is no project for a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The stack does not have any.
    #[error("the stack of instance `{0}` has no projects for configuration files")]
    Unsupported(InstanceName),
    /// The file cannot be found.
    #[error(transparent)]
    File(FileError),
    /// There is something else than a file.
    #[error("the configuration file `{}` is not a file", .0.display())]
    NotFile(PathBuf),
    /// The service did not answer.
    #[error("cannot get the project of `{}` from {url}", file.display())]
    Unanswered {
        /// The configuration file.
        file: PathBuf,
        /// What was asked.
        url: String,
        /// Why there is no answer.
        #[source]
        source: Unanswered,
    },
    /// The service refused.
    #[error("cannot get the project of `{}` from {url}: it {refusal}", file.display())]
    Refused {
        /// The configuration file.
        file: PathBuf,
        /// What was asked.
        url: String,
        /// What it answered.
        refusal: String,
    },
    /// The answer lacks a value, or it is not a text that a variable can have.
    #[error("cannot use the project of `{}`: the answer of {url} has no valid `{field}`", file.display())]
    Answer {
        /// The configuration file.
        file: PathBuf,
        /// What was asked.
        url: String,
        /// The key of the value.
        field: String,
    },
}

impl Explain for ProjectError {
    fn class(&self) -> Class {
        match self {
            Self::Unsupported(_) | Self::File(_) | Self::NotFile(_) => Class::Usage,
            Self::Unanswered { source: Unanswered::TimedOut(_), .. } => Class::TimedOut,
            Self::Unanswered { .. } | Self::Refused { .. } | Self::Answer { .. } => Class::Failed,
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::File(error) => Some(error),
            _ => None,
        }
    }
}

impl Values<'_> {
    /// Asks for the project of `file`: the values that variables take, by their keys in the answer.
    ///
    /// # Errors
    /// When the stack has no projects, the file is not there, or the service refuses or does not answer.
    pub(super) async fn project(&self, file: &Path) -> Result<BTreeMap<String, Secret>, InstanceError> {
        let unsupported = || ProjectError::Unsupported(self.instance.name.clone());
        let project = self.live.stack.project.as_ref().ok_or_else(unsupported)?;
        // One file is one project, however it is named.
        let file =
            fs::canonicalize(file).map_err(|error| ProjectError::File(FileError::of("find", file)(error)))?;
        if !file.is_file() {
            return Err(ProjectError::NotFile(file).into());
        }
        utf8::check("--config-file", &file)?;
        let port = self.port(&project.port);
        let url = format!("{}{}", port.url(), project.path);
        let limit = PROJECT_LIMIT * self.live.topology().accelerator.patience();
        let reading = Reading { limit, bytes: ANSWER_LIMIT, wanted: loopback::is_textual };
        let answer = match loopback::send(port.host, self.request(project, &file)?, &reading).await {
            Ok(answer) => answer,
            Err(source) => return Err(ProjectError::Unanswered { file, url, source }.into()),
        };
        if answer.status != StatusCode::OK {
            return Err(ProjectError::Refused { file, url, refusal: answer.refusal() }.into());
        }
        let answer: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let fields = self.live.stack.exports.iter().flatten().filter_map(|export| export.project.as_ref());
        let values =
            fields.map(|field| match answer.get(field).and_then(Value::as_str) {
                Some(value) if value.len() <= VALUE_LIMIT && !value.contains('\0') => {
                    Ok((field.clone(), Secret::new(value)))
                }
                _ => Err(ProjectError::Answer { file: file.clone(), url: url.clone(), field: field.clone() }
                    .into()),
            });
        values.collect()
    }

    fn request(&self, project: &ProjectRequest, file: &Path) -> Result<Request<Full<Bytes>>, InstanceError> {
        let path = Value::from(file.to_string_lossy());
        let body = Value::from(Map::from_iter([(project.field.clone(), path)]));
        let mut request = Request::post(&project.path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in &project.headers {
            request = request.header(name, self.render(value)?.reveal());
        }
        Ok(request.body(Full::from(body.to_string())).expect("the request in a live record was checked"))
    }
}
