//! What published images are called: tags of releases, and artifacts of workflow runs.

use time::Date;

use image::arch::Arch;

/// Branch whose images are used when nothing else is said.
pub const DEFAULT_BRANCH: &str = "dev";

/// The workflow that builds images.
pub const IMAGE_WORKFLOW: &str = ".github/workflows/image.yml";

/// What every tag of a release of `branch` begins with.
pub fn tag_prefix(branch: &str) -> String {
    format!("emulator-{}-", tag_part(branch))
}

/// Tag of the release that always has the newest image of `branch`.
pub fn rolling_tag(branch: &str) -> String {
    format!("{}latest", tag_prefix(branch))
}

/// Tag of the release that has the images built from commit `sha` of `branch` on `day`, and never changes.
pub fn immutable_tag(branch: &str, day: Date, sha: &str) -> String {
    let (year, month, date) = (day.year(), u8::from(day.month()), day.day());
    format!("{}{year:04}{month:02}{date:02}-{}", tag_prefix(branch), sha.get(..8).unwrap_or(sha))
}

/// Whether `tag` is one that never changes, of `branch`: `emulator-<branch>-<yyyymmdd>-<sha8>`. The prefix alone would not
/// tell `dev` from `dev-next`.
pub fn is_immutable_tag(branch: &str, tag: &str) -> bool {
    let hexadecimal = |text: &str| text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let date = |text: &str| text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_digit());
    tag.strip_prefix(&tag_prefix(branch))
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(day, sha)| date(day) && hexadecimal(sha))
}

/// Name of the artifact that a run leaves for `arch`.
pub fn artifact(arch: Arch) -> String {
    format!("qemu-emulator-{arch}")
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
        assert_eq!(rolling_tag("dev"), "emulator-dev-latest");
        assert_eq!(rolling_tag("fix/boot#7"), "emulator-fix-boot-7-latest");
        let day = time::macros::date!(2026 - 01 - 31);
        assert_eq!(immutable_tag("dev", day, "0123abcdef"), "emulator-dev-20260131-0123abcd");
        assert!(is_immutable_tag("dev", "emulator-dev-20260131-0123abcd"));
        for other in
            ["emulator-dev-latest", "emulator-dev-next-20260131-0123abcd", "emulator-dev-2026-0123abcd"]
        {
            assert!(!is_immutable_tag("dev", other), "{other}");
        }
        assert!(is_immutable_tag("dev-next", "emulator-dev-next-20260131-0123abcd"));
        assert_eq!(artifact(Arch::Amd64), "qemu-emulator-amd64");
    }
}
