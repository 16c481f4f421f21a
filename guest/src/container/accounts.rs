//! Users and groups of an image, as its `/etc/passwd` and `/etc/group` name them.

use anyhow::{Context as _, anyhow};

/// As whom a container's processes run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Other groups.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// An entry of `/etc/passwd`.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl User {
    /// Finds `user`, which is a name or a number and perhaps a group after a colon, in the texts of the image's files. A number needs
    /// no entry. Without any: root.
    ///
    /// # Errors
    /// When a name is not in the file.
    pub(super) fn find(user: Option<&str>, passwd: &str, group: &str) -> anyhow::Result<Self> {
        let user = user.filter(|user| !user.is_empty()).unwrap_or("0");
        let (user, wanted_group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let number = user.parse::<u32>().ok();
        let mut entries = passwd.lines().filter_map(entry);
        let entry = entries.find(|entry| entry.name == user || Some(entry.uid) == number);
        let (uid, gid, home, name) = match (&entry, number) {
            (Some(entry), _) => (entry.uid, entry.gid, entry.home, entry.name),
            (None, Some(number)) => (number, 0, "/", ""),
            (None, None) => return Err(anyhow!("the image has no user `{user}`")),
        };
        let home = if home.is_empty() { "/" } else { home }.to_owned();
        let (gid, groups) = match wanted_group {
            Some(wanted) => (group_id(wanted, group)?, Vec::new()),
            None => (gid, memberships(name, gid, group)),
        };
        Ok(Self { uid, gid, groups, home })
    }
}

/// Fields are name, password, user id, group id, comment, home and shell: passwd(5).
fn entry(line: &str) -> Option<Entry<'_>> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Entry { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
}

/// Fields are name, password, group id, and members with commas between them: group(5).
fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn group_id(wanted: &str, text: &str) -> anyhow::Result<u32> {
    let by_name = groups(text).find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
    by_name.or_else(|| wanted.parse().ok()).with_context(|| format!("the image has no group `{wanted}`"))
}

/// The groups that list `name`, without `own`.
fn memberships(name: &str, own: u32, text: &str) -> Vec<u32> {
    let lists = |members: &str| !name.is_empty() && members.split(',').any(|member| member.trim() == name);
    groups(text).filter(|(_, gid, members)| *gid != own && lists(members)).map(|(_, gid, _)| gid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nnode:x:1000:1001::/home/node:/bin/sh\nbin:x:2:2\n";
    const GROUP: &str = "root:x:0:\nnode:x:1001:node\nvideo:x:44:a,node\naudio:x:29:nodes\n";

    fn find(user: Option<&str>) -> Result<User, String> {
        User::find(user, PASSWD, GROUP).map_err(|error| error.to_string())
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.to_owned() }
    }

    #[test]
    fn a_user_is_found_by_name_or_number() {
        assert_eq!(find(None).unwrap(), user(0, 0, &[], "/root"));
        assert_eq!(find(Some("")).unwrap(), user(0, 0, &[], "/root"));
        assert_eq!(find(Some("node")).unwrap(), user(1000, 1001, &[44], "/home/node"));
        assert_eq!(find(Some("1000")).unwrap(), user(1000, 1001, &[44], "/home/node"));
        assert_eq!(find(Some("bin")).unwrap(), user(2, 2, &[], "/"));
        assert_eq!(find(Some("4000")).unwrap(), user(4000, 0, &[], "/"));
        assert_eq!(find(Some("other")).unwrap_err(), "the image has no user `other`");
    }

    #[test]
    fn a_group_that_is_given_replaces_the_users_own() {
        assert_eq!(find(Some("node:video")).unwrap(), user(1000, 44, &[], "/home/node"));
        assert_eq!(find(Some("node:")).unwrap(), user(1000, 1001, &[44], "/home/node"));
        assert_eq!(find(Some("70:70")).unwrap(), user(70, 70, &[], "/"));
        assert_eq!(find(Some("node:none")).unwrap_err(), "the image has no group `none`");
    }

    #[test]
    fn an_image_without_accounts_has_root() {
        let root = User::find(None, "", "").unwrap();
        assert_eq!((root.uid, root.gid, root.home.as_str()), (0, 0, "/"));
    }
}
