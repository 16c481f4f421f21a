//! Whether a program could be started, found out before that: as `execvp(3)` looks for it, and as the kernel looks at scripts.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::files::is_absence;

/// Where programs are looked for where `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// How much of a script the kernel looks at: `BINPRM_BUF_SIZE`.
const SCRIPT_START: u64 = 256;

/// Why a program could not be started.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// There is none.
    Missing,
    /// It is a script, and what it names as its interpreter is missing.
    NoInterpreter(PathBuf),
    /// The operating system would refuse.
    Refused(io::Error),
}

/// Verifies that `program` could be started in the directory `cwd`, where it is looked for in `path` unless it is a path itself.
pub(super) fn check(program: &OsStr, path: Option<&OsStr>, cwd: &Path) -> Result<(), Obstacle> {
    if program.is_empty() {
        return Err(Obstacle::Missing);
    }
    if program.as_bytes().contains(&b'/') {
        return can_run(&cwd.join(program), cwd);
    }
    let mut found = Obstacle::Missing;
    for dir in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        match can_run(&cwd.join(dir).join(program), cwd) {
            Ok(()) => return Ok(()),
            Err(Obstacle::Missing) => {}
            Err(obstacle) => found = obstacle,
        }
    }
    Err(found)
}

fn can_run(program: &Path, cwd: &Path) -> Result<(), Obstacle> {
    is_executable(program)?;
    let Some(interpreter) = interpreter(program) else { return Ok(()) };
    match is_executable(&cwd.join(&interpreter)) {
        Err(Obstacle::Missing) => Err(Obstacle::NoInterpreter(interpreter)),
        other => other,
    }
}

fn is_executable(path: &Path) -> Result<(), Obstacle> {
    match fs::metadata(path) {
        Ok(data) if data.is_file() => {
            access(path, Access::EXEC_OK).map_err(|error| Obstacle::Refused(error.into()))
        }
        Ok(_) => Err(Obstacle::Refused(io::ErrorKind::PermissionDenied.into())),
        Err(error) if is_absence(&error) => Err(Obstacle::Missing),
        Err(error) => Err(Obstacle::Refused(error)),
    }
}

/// What a script names behind `#!`. One that cannot be read can be run by its owner all the same, as far as is known here.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    File::open(program).ok()?.take(SCRIPT_START).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let name = line.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t')).next()?;
    (!name.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_is_looked_for_in_every_directory_of_path() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| dir.path().join(name));
        for dir in [&one, &other] {
            fs::create_dir(dir).unwrap();
        }
        let path = std::env::join_paths([&one, &other]).unwrap();
        let look = |program: &str| check(OsStr::new(program), Some(&path), dir.path());
        assert!(matches!(look("tool"), Err(Obstacle::Missing)));
        assert!(matches!(look(""), Err(Obstacle::Missing)));
        write(&one.join("tool"), "data", 0o644);
        assert!(matches!(look("tool"), Err(Obstacle::Refused(_))));
        write(&other.join("tool"), "#!/bin/sh\n", 0o755);
        look("tool").unwrap();
        look("other/tool").unwrap();
        assert!(matches!(look("one/nothing"), Err(Obstacle::Missing)));
        assert!(matches!(look("./one"), Err(Obstacle::Refused(_))), "a directory");
        check(OsStr::new("sh"), None, dir.path()).unwrap();
    }

    #[test]
    fn a_script_needs_the_interpreter_that_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        let look = || check(script.as_os_str(), None, dir.path());
        write(&script, "#! /no/such/interpreter -x\necho\n", 0o755);
        let Err(Obstacle::NoInterpreter(name)) = look() else { panic!("it has one") };
        assert_eq!(name, Path::new("/no/such/interpreter"));
        write(&script, "#!/etc/passwd\n", 0o755);
        assert!(matches!(look(), Err(Obstacle::Refused(_))));
        write(&script, "#!/usr/bin/env sh\n", 0o755);
        look().unwrap();
        write(&script, "#!\n", 0o755);
        look().unwrap();
    }
}
