//! What published images are called: tags of releases, and artifacts of workflow runs.

use time::Date;

use image::arch::Arch;
use image::stack::DEFAULT_STACK;

/// Branch whose images are used when nothing else is said.
pub const DEFAULT_BRANCH: &str = "dev";

/// The workflow that builds images.
pub const IMAGE_WORKFLOW: &str = ".github/workflows/image.yml";

/// What the images of one stack are called. Those of several stacks can be published by one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    stack: String,
}

impl Names {
    /// Those of the images of `stack`.
    pub fn of(stack: impl Into<String>) -> Self {
        Self { stack: stack.into() }
    }

    /// The stack.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// Whether it is the stack of this repository, which is meant where none is named.
    pub fn is_default(&self) -> bool {
        self.stack == DEFAULT_STACK
    }

    /// Name of the file with the image for `arch`.
    pub fn file(&self, arch: Arch) -> String {
        arch.image_file_of(&self.stack)
    }

    /// Name of the artifact that a run leaves for `arch`.
    pub fn artifact(&self, arch: Arch) -> String {
        let stack = if self.is_default() { "emulator" } else { &self.stack };
        format!("qemu-{stack}-{arch}")
    }

    /// What every tag of a release of `branch` begins with.
    pub fn tag_prefix(&self, branch: &str) -> String {
        let stack = if self.is_default() { String::new() } else { format!("{}-", self.stack) };
        format!("{stack}emulator-{}-", tag_part(branch))
    }

    /// Tag of the release that always has the newest image of `branch`.
    pub fn rolling_tag(&self, branch: &str) -> String {
        format!("{}latest", self.tag_prefix(branch))
    }

    /// Tag of the release that has the images built from commit `sha` of `branch` on `day`, and never changes.
    pub fn immutable_tag(&self, branch: &str, day: Date, sha: &str) -> String {
        let (year, month, date) = (day.year(), u8::from(day.month()), day.day());
        let sha = sha.get(..8).unwrap_or(sha);
        format!("{}{year:04}{month:02}{date:02}-{sha}", self.tag_prefix(branch))
    }

    /// Whether `tag` is one that never changes, of `branch`: `emulator-<branch>-<yyyymmdd>-<sha8>`. The prefix alone would not
    /// tell `dev` from `dev-next`.
    pub fn is_immutable_tag(&self, branch: &str, tag: &str) -> bool {
        let hexadecimal = |text: &str| text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let date = |text: &str| text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_digit());
        tag.strip_prefix(&self.tag_prefix(branch))
            .and_then(|rest| rest.split_once('-'))
            .is_some_and(|(day, sha)| date(day) && hexadecimal(sha))
    }
}

/// A branch as it stands in a tag, which is also a part of addresses and of file names.
fn tag_part(branch: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    branch.chars().map(|c| if plain(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_by_their_branch() {
        let names = Names::of(DEFAULT_STACK);
        assert_eq!(names.rolling_tag("dev"), "emulator-dev-latest");
        assert_eq!(names.rolling_tag("fix/boot#7"), "emulator-fix-boot-7-latest");
        let day = time::macros::date!(2026 - 01 - 31);
        assert_eq!(names.immutable_tag("dev", day, "0123abcdef"), "emulator-dev-20260131-0123abcd");
        assert!(names.is_immutable_tag("dev", "emulator-dev-20260131-0123abcd"));
        for other in
            ["emulator-dev-latest", "emulator-dev-next-20260131-0123abcd", "emulator-dev-2026-0123abcd"]
        {
            assert!(!names.is_immutable_tag("dev", other), "{other}");
        }
        assert!(names.is_immutable_tag("dev-next", "emulator-dev-next-20260131-0123abcd"));
        assert_eq!(names.artifact(Arch::Amd64), "qemu-emulator-amd64");
    }

    #[test]
    fn the_images_of_another_stack_have_its_name() {
        let names = Names::of("shop");
        assert_eq!(names.rolling_tag("main"), "shop-emulator-main-latest");
        assert!(names.is_immutable_tag("main", "shop-emulator-main-20260131-0123abcd"));
        assert!(!names.is_immutable_tag("main", "emulator-main-20260131-0123abcd"));
        assert!(!Names::of(DEFAULT_STACK).is_immutable_tag("main", "shop-emulator-main-20260131-0123abcd"));
        assert_eq!(names.artifact(Arch::Arm64), "qemu-shop-arm64");
        assert_eq!(names.file(Arch::Arm64), "shop-arm64.qcow2");
    }
}
