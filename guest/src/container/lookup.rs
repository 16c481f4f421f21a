//! Finds the program of a command in a container, as `crun` is about to. `crun` ends with the same status whatever is wrong with it.

use std::{
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, open, openat2},
    io::Errno,
};
use serde_json::Value;

/// The root of a running container as its processes see it, with all that is mounted there.
pub(super) struct View(OwnedFd);

impl View {
    /// Opens that of the container whose first process has its id in the file `pid`.
    ///
    /// # Errors
    /// When the process has ended.
    pub(super) fn open(pid: &Path) -> io::Result<Self> {
        let pid = fs::read_to_string(pid)?;
        Self::of(&Path::new("/proc").join(pid.trim()).join("root"))
    }

    fn of(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(root, flags, Mode::empty())?))
    }

    /// Verifies that there is a program that `process` can execute. What cannot be found out is left to the execution.
    ///
    /// # Errors
    /// [`Errno::NOENT`] when there is none, [`Errno::ACCESS`] when it is not executable.
    pub(super) fn check(&self, process: &Value, program: &str) -> Result<(), Errno> {
        let Some(places) = places(process, program) else { return Ok(()) };
        let mut failure = Errno::NOENT;
        for place in places {
            match self.is_executable(&place) {
                Ok(false) => failure = Errno::ACCESS,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Ok(true) | Err(_) => return Ok(()),
            }
        }
        Err(failure)
    }

    fn is_executable(&self, path: &Path) -> Result<bool, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(&self.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
        let metadata = File::from(file).metadata().map_err(|_| Errno::IO)?;
        Ok(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    }
}

/// Where `process` looks for `program`; `None` without a search path.
fn places(process: &Value, program: &str) -> Option<Vec<PathBuf>> {
    let dir = Path::new(process["cwd"].as_str().unwrap_or("/"));
    if program.contains('/') {
        return Some(vec![dir.join(program)]);
    }
    let env = process["env"].as_array()?.iter();
    let path = env.filter_map(Value::as_str).find_map(|entry| entry.strip_prefix("PATH="))?;
    Some(path.split(':').map(|part| dir.join(part).join(program)).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_program_is_found_in_the_container_and_executable_or_not() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, mode: u32| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("bin/tool", 0o755);
        put("bin/text", 0o644);
        put("opt/text", 0o755);
        put("app/own", 0o755);
        symlink("/bin/tool", root.path().join("bin/link")).unwrap();
        symlink("/nowhere", root.path().join("bin/dangling")).unwrap();
        let view = View::of(root.path()).unwrap();
        let check = |path: &str, program: &str| {
            view.check(&json!({"cwd": "/app", "env": ["A=1", format!("PATH={path}")]}), program)
        };
        for program in ["tool", "link", "/bin/tool", "./own", "../bin/link"] {
            assert_eq!(check("/nothing:/bin", program), Ok(()), "{program}");
        }
        for program in ["nosuch", "dangling", "/nosuch", "/bin/tool/x", "own"] {
            assert_eq!(check("/nothing:/bin", program), Err(Errno::NOENT), "{program}");
        }
        for program in ["text", "/bin/text", "/bin"] {
            assert_eq!(check("/bin", program), Err(Errno::ACCESS), "{program}");
        }
        assert_eq!(check("/bin:/opt", "text"), Ok(()), "the next one is executable");
        assert_eq!(view.check(&json!({"cwd": "/"}), "nosuch"), Ok(()), "there is no search path");
    }
}
