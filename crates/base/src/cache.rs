//! Where the builds of QEMU and of the image keep what they would otherwise fetch or make again.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::variables;

/// Environment variable that names the cache.
pub const CACHE_VARIABLE: &str = "STACK_EMULATOR_CACHE";

/// Directory under the user's own cache.
const DEFAULT: &str = "stack-emulator";

/// The cache that the environment names: `$STACK_EMULATOR_CACHE`, else `$XDG_CACHE_HOME/stack-emulator`, else
/// `~/.cache/stack-emulator`; `None` when there is no home directory either. It need not exist yet.
pub fn root() -> Option<PathBuf> {
    root_of(variables::raw, variables::home_dir())
}

fn root_of(variable: impl Fn(&str) -> Option<OsString>, user: Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).map(PathBuf::from);
    if let Some(root) = set(CACHE_VARIABLE) {
        return std::path::absolute(root).ok();
    }
    // The base directory specification requires programs to ignore relative paths in its variables.
    let xdg = set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
    Some(xdg.or_else(|| user.map(|dir| dir.join(".cache")))?.join(DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        root_of(variable, Some("/home/u".into()))
    }

    #[test]
    fn the_own_variable_wins_over_the_base_directory_and_that_over_the_home() {
        let both = [(CACHE_VARIABLE, "/c"), ("XDG_CACHE_HOME", "/x")];
        assert_eq!(root_with(&both), Some("/c".into()));
        assert_eq!(root_with(&both[1..]), Some("/x/stack-emulator".into()));
        assert_eq!(
            root_with(&[("XDG_CACHE_HOME", "relative")]),
            Some("/home/u/.cache/stack-emulator".into())
        );
        assert_eq!(root_of(|_| None, None), None);
    }
}
