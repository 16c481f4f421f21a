//! Linked worktrees of git: each has an instance of its own, named after its directory.
//!
//! They are recognised without git, by their `.git` file: gitrepository-layout(5) and git-worktree(1).

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use base::files::read_document;
use vm::home::DEFAULT_STACK;

use crate::name::{InstanceName, InvalidName, digits, stem};

/// What a `.git` file says before the path of the git directory.
const MARKER: &str = "gitdir:";

/// A linked worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    root: PathBuf,
}

/// What a `.git` entry belongs to.
enum Checkout {
    /// A linked worktree.
    Linked,
    /// A submodule, which belongs to what is around it.
    Submodule,
    /// The main checkout of a repository.
    Main,
}

impl Worktree {
    /// The linked worktree that `dir` is in; none in a main checkout and outside of repositories. What cannot be read counts as no
    /// worktree.
    pub fn around(dir: &Path) -> Option<Self> {
        let dir = fs::canonicalize(dir).ok()?;
        for root in dir.ancestors() {
            match checkout(root) {
                Some(Checkout::Linked) => return Some(Self { root: root.to_owned() }),
                Some(Checkout::Main) => return None,
                Some(Checkout::Submodule) | None => {}
            }
        }
        None
    }

    /// Its directory, without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of its instance of `stack`: the directory's name as far as it is valid, and the beginning of a digest of the path and of
    /// the stack, if it is not the default one.
    ///
    /// # Errors
    /// Never in practice: every such name is valid.
    pub fn instance(&self, stack: &str) -> Result<InstanceName, InvalidName> {
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        let mut distinct = self.root.as_os_str().as_bytes().to_owned();
        if stack != DEFAULT_STACK {
            distinct.extend([b"\0", stack.as_bytes()].concat());
        }
        format!("{}-{}", stem(&name, "worktree"), digits(distinct)).parse()
    }
}

/// What the `.git` entry in `dir` is; none if there is none.
fn checkout(dir: &Path) -> Option<Checkout> {
    let entry = dir.join(".git");
    let data = fs::metadata(&entry).ok()?;
    if !data.is_file() {
        return Some(Checkout::Main);
    }
    let git_dir = git_dir(&entry).map(|path| dir.join(path));
    Some(git_dir.map_or(Checkout::Main, |git_dir| kind(&git_dir)))
}

/// The path in a `.git` file.
fn git_dir(entry: &Path) -> Option<PathBuf> {
    let text = String::from_utf8(read_document(entry).ok()?).ok()?;
    Some(PathBuf::from(text.strip_prefix(MARKER)?.trim()))
}

/// What has its git directory there. It need not exist: a container may have the worktree alone mounted.
fn kind(git_dir: &Path) -> Checkout {
    let parent = git_dir.parent().and_then(Path::file_name);
    // A worktree shares a repository; a submodule that is called `worktrees/…` has one of its own.
    let shares = !git_dir.is_dir() || git_dir.join("commondir").exists();
    if parent.is_some_and(|parent| parent == "worktrees") && shares {
        Checkout::Linked
    } else if git_dir.components().any(|part| part == Component::Normal("modules".as_ref())) {
        Checkout::Submodule
    } else {
        Checkout::Main
    }
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;

    use super::*;

    /// A directory with a `.git` file that leads to `git_dir`.
    fn directory(parent: &Path, name: &str, git_dir: &str) -> PathBuf {
        let dir = parent.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(".git"), format!("gitdir: {git_dir}\n")).unwrap();
        dir
    }

    fn name_of(dir: &Path) -> String {
        Worktree::around(dir).unwrap().instance(DEFAULT_STACK).unwrap().to_string()
    }

    #[tokio::test]
    async fn what_git_calls_a_linked_worktree_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main");
        fs::create_dir(&main).unwrap();
        let git = async |args: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
            Cmd::new("git").args(who).args(args).current_dir(&main).output().await.unwrap();
        };
        git(&["init", "--quiet"]).await;
        git(&["commit", "--quiet", "--allow-empty", "--message", "first"]).await;
        git(&["worktree", "add", "--quiet", "../Feature_17"]).await;
        let linked = dir.path().join("Feature_17");
        fs::create_dir_all(linked.join("a/b")).unwrap();
        assert_eq!(Worktree::around(&main), None);
        let found = Worktree::around(&linked.join("a/b")).unwrap();
        assert_eq!(found.root(), fs::canonicalize(&linked).unwrap());
        let name = found.instance(DEFAULT_STACK).unwrap().to_string();
        assert!(name.starts_with("feature-17-") && name.len() == "feature-17-123456".len(), "{name}");
        let other = found.instance("shop").unwrap().to_string();
        assert!(other.starts_with("feature-17-") && other != name, "{other}");
        git(&["worktree", "remove", "../Feature_17"]).await;
        assert_eq!(Worktree::around(&linked), None);
    }

    #[test]
    fn worktrees_of_one_name_have_instances_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["a/review", "b/review"]
            .map(|name| directory(dir.path(), name, "/no/repository/.git/worktrees/review"));
        assert_ne!(name_of(&one), name_of(&other));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert_eq!(name_of(&link), name_of(&one), "the same directory");
    }

    #[test]
    fn a_submodule_belongs_to_what_is_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let linked = directory(dir.path(), "linked", "/repository/.git/worktrees/linked");
        let inside = directory(&linked, "library", "/repository/.git/worktrees/linked/modules/library");
        assert_eq!(name_of(&inside), name_of(&linked));
        let main = dir.path().join("main");
        fs::create_dir_all(main.join(".git/modules/worktrees/x")).unwrap();
        let inside = directory(&main, "library", "../.git/modules/worktrees/x");
        assert_eq!(Worktree::around(&inside), None);
    }

    #[test]
    fn other_git_directories_are_those_of_main_checkouts() {
        let dir = tempfile::tempdir().unwrap();
        let linked = directory(dir.path(), "linked", "/repository/.git/worktrees/linked");
        let inside = directory(&linked, "separate", "/elsewhere/separate.git");
        assert_eq!(Worktree::around(&inside), None);
        fs::write(inside.join(".git"), [0xff; 16]).unwrap();
        assert_eq!(Worktree::around(&inside), None);
        assert_eq!(Worktree::around(&dir.path().join("missing")), None);
    }

    #[test]
    fn every_name_of_a_directory_gives_a_valid_one() {
        for (name, expected) in [
            ("Feature_17", "feature-17"),
            ("--a--b--", "a-b"),
            ("日本", "worktree"),
            ("a-very-long-name-of-a-branch", "a-very-long-nam"),
            ("exactly-sixteen-", "exactly-sixteen"),
        ] {
            assert_eq!(stem(name, "worktree"), expected);
            let worktree = Worktree { root: Path::new("/w").join(name) };
            worktree
                .instance(DEFAULT_STACK)
                .unwrap()
                .for_arch(image::arch::Arch::Arm64)
                .numbered(99)
                .unwrap();
        }
    }
}
