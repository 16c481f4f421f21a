//! Accounts of this machine.

use std::{fs, io};

use anyhow::Context as _;
use base::files::Owner;

/// The file that lists every account of this machine.
const PASSWD: &str = "/etc/passwd";

/// Finds the user `name` and its group.
pub(super) fn owner(name: &str) -> anyhow::Result<Owner> {
    let passwd: io::Result<String> = fs::read_to_string(PASSWD);
    let passwd = passwd.with_context(|| format!("cannot read `{PASSWD}`"))?;
    find(&passwd, name).with_context(|| format!("there is no user `{name}`"))
}

/// Fields are name, password, user id, group id and others: passwd(5).
fn find(passwd: &str, name: &str) -> Option<Owner> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some(Owner { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nstacks:x:1:1::/:\nstack:x:995:994:Services:/nonexistent:\n";
        assert_eq!(find(passwd, "stack"), Some(Owner { uid: 995, gid: 994 }));
        assert_eq!(find(passwd, "stac"), None);
    }
}
