//! What a developer's own programs are given of a running stack: environment variables, and a project for each configuration file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::template::Template;
use super::{Secret, check};

/// Most variables of a stack, those with prefixes not counted.
const EXPORTS_LIMIT: usize = 64;

/// Most prefixes of a variable, and most headers of a request.
const FEW: usize = 16;

/// Longest text of a value, in bytes.
const VALUE_LIMIT: usize = 4096;

/// What bundlers and frameworks take as leave to copy a variable into what every visitor is sent.
const PUBLISHED: [&str; 9] = [
    "NEXT_PUBLIC_",
    "VITE_",
    "EXPO_PUBLIC_",
    "REACT_APP_",
    "PUBLIC_",
    "NUXT_PUBLIC_",
    "GATSBY_",
    "VUE_APP_",
    "NG_APP_",
];

/// Variables that decide what a program or its interpreter loads, runs, trusts or takes for its own: an image does not choose them.
const REFUSED: [&str; 36] = [
    "ALL_PROXY",
    "BASHOPTS",
    "BASH_ENV",
    "BROWSER",
    "CDPATH",
    "CLASSPATH",
    "COMSPEC",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GLOBIGNORE",
    "HOME",
    "HOSTALIASES",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "LOCPATH",
    "LOGNAME",
    "MAIL",
    "NLSPATH",
    "NO_PROXY",
    "OLDPWD",
    "PAGER",
    "PATH",
    "PATHEXT",
    "PROMPT_COMMAND",
    "PWD",
    "SHELL",
    "SHELLOPTS",
    "SYSTEMROOT",
    "TEMP",
    "TERM",
    "TMP",
    "USER",
    "VISUAL",
    "ZDOTDIR",
];

/// Beginnings of the names of such variables.
const REFUSED_BEGINNINGS: [&str; 34] = [
    "ACTIONS_",
    "BASH_FUNC_",
    "BUN_",
    "CARGO",
    "COMPLUS_",
    "CORECLR_",
    "CURL_",
    "DENO_",
    "DOTNET_",
    "DYLD_",
    "EMULATOR_",
    "GH_",
    "GITHUB_",
    "GIT_",
    "GLIBC_",
    "JAVA_TOOL_",
    "JDK_JAVA_",
    "LC_",
    "LD_",
    "MALLOC_",
    "NODE_",
    "NPM_",
    "OPENSSL_",
    "PERL",
    "PIP_",
    "PYTHON",
    "QEMU_",
    "RUBY",
    "RUNNER_",
    "RUST",
    "SSH_",
    "SSL_CERT_",
    "STACK_EMULATOR_",
    "XDG_",
];

/// A variable of a developer's programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// Prefixes under which it is given once more, to be copied into what visitors of a site are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<String>,
    /// Key of the value in the answer about a project, which replaces the value where a configuration file is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Export {
    /// Every name under which it is given.
    pub fn names(&self) -> impl Iterator<Item = String> {
        [""].into_iter()
            .chain(self.public.iter().map(String::as_str))
            .map(|prefix| prefix.to_owned() + &self.name)
    }

    /// Whether its value has one of these secrets in it that is not publishable.
    pub fn is_secret(&self, secrets: &[Secret]) -> bool {
        self.value
            .secrets()
            .any(|name| !secrets.iter().any(|secret| secret.name == name && secret.publishable))
    }
}

/// How a service is asked for the project of a configuration file: a POST of a JSON object with the file's path, which is answered with
/// an object of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProjectRequest {
    /// Name of the port that is asked.
    pub port: String,
    /// Path that is asked.
    pub path: String,
    /// Key of the file's absolute path in the request's body.
    pub field: String,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
}

/// What templates may name.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Names of the ports.
    pub ports: &'a [&'a str],
    /// The secrets.
    pub secrets: &'a [Secret],
}

impl Known<'_> {
    fn template(self, owner: &str, template: &Template) -> Result<(), String> {
        let text = template.to_string();
        if text.len() > VALUE_LIMIT || text.contains(char::is_control) {
            return Err(format!("the value of `{owner}` has a control character, or is too long"));
        }
        if let Some(name) = template.ports().find(|name| !self.ports.contains(name)) {
            return Err(format!("`{owner}` names the port {name:?}, which does not exist"));
        }
        match template.secrets().find(|name| !self.secrets.iter().any(|secret| secret.name == *name)) {
            Some(name) => Err(format!("`{owner}` names the secret {name:?}, which does not exist")),
            None => Ok(()),
        }
    }

    /// Whether these variables can be given to a program without taking it over, and without publishing a secret.
    ///
    /// # Errors
    /// With what is wrong with one.
    pub fn exports(self, exports: &[Export]) -> Result<(), String> {
        if exports.len() > EXPORTS_LIMIT {
            return Err(format!("there are {} variables, and at most {EXPORTS_LIMIT}", exports.len()));
        }
        let mut taken = Vec::new();
        for export in exports {
            if export.public.len() > FEW {
                return Err(format!(
                    "`{}` has {} prefixes, and at most {FEW}",
                    export.name,
                    export.public.len()
                ));
            }
            for name in export.names() {
                variable(&name)?;
                if taken.contains(&name) {
                    return Err(format!("the variable `{name}` is exported twice"));
                }
                taken.push(name);
            }
            self.template(&export.name, &export.value)?;
            if let Some(field) = &export.project {
                check::name(field)?;
            }
        }
        self.published(exports)
    }

    /// Refuses a secret that visitors of a site would be sent.
    fn published(self, exports: &[Export]) -> Result<(), String> {
        let (secret, open): (Vec<_>, Vec<_>) =
            exports.iter().partition(|export| export.is_secret(self.secrets));
        let prefixes: Vec<_> =
            exports.iter().flat_map(|export| &export.public).map(String::as_str).chain(PUBLISHED).collect();
        for export in &secret {
            let begins = prefixes.iter().find(|prefix| export.name.starts_with(**prefix)).copied();
            if let Some(prefix) = export.public.first().map(String::as_str).or(begins) {
                return Err(format!(
                    "`{}` has a secret in it that is not `publishable`, and the public prefix `{prefix}`",
                    export.name
                ));
            }
        }
        let hidden = |field: &String| secret.iter().any(|export| export.project.as_ref() == Some(field));
        match open.into_iter().find(|export| export.project.as_ref().is_some_and(hidden)) {
            Some(export) => {
                Err(format!("`{}` takes from a project what another variable has as a secret", export.name))
            }
            None => Ok(()),
        }
    }

    /// Whether a project can be asked for in this way, by what these variables take from it.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn project(self, project: Option<&ProjectRequest>, exports: &[Export]) -> Result<(), String> {
        let takes = exports.iter().find(|export| export.project.is_some());
        let ProjectRequest { port, path, field, headers } = match (project, takes) {
            (None, Some(export)) => {
                return Err(format!("`{}` takes its value from a project, and there are none", export.name));
            }
            (None, None) => return Ok(()),
            (Some(_), None) => return Err("no variable takes its value from a project".to_owned()),
            (Some(project), Some(_)) => project,
        };
        if !self.ports.contains(&port.as_str()) {
            return Err(format!("projects are asked for at the port {port:?}, which does not exist"));
        }
        check::path(&format!("the path of projects at port `{port}`"), path)?;
        check::name(field)?;
        if headers.len() > FEW {
            return Err(format!("there are {} headers, and at most {FEW}", headers.len()));
        }
        headers.iter().try_for_each(|(name, value)| {
            header(name)?;
            if !value.to_string().is_ascii() {
                return Err(format!("the value of the header `{name}` is not ASCII"));
            }
            self.template(name, value)
        })
    }
}

/// Whether a program can be given a variable of this name without that it changes what the program is.
fn variable(name: &str) -> Result<(), String> {
    check::variable(name)?;
    let upper = name.to_ascii_uppercase();
    let refused = REFUSED.contains(&upper.as_str())
        || REFUSED_BEGINNINGS.iter().any(|beginning| upper.starts_with(beginning));
    if refused {
        Err(format!(
            "`{name}` cannot be exported: it changes how programs run, or belongs to another program"
        ))
    } else {
        Ok(())
    }
}

/// A header's name, without those that the request itself sets.
fn header(name: &str) -> Result<(), String> {
    const OWN: [&str; 6] =
        ["connection", "content-length", "content-type", "host", "transfer-encoding", "upgrade"];
    check::name(name)?;
    if OWN.contains(&name.to_ascii_lowercase().as_str()) {
        Err(format!("`{name}` is a header that the request has already"))
    } else {
        Ok(())
    }
}
