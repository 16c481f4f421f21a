//! Accounts of this machine.

use std::{fs, io};

use anyhow::Context as _;
use base::files::Owner;

/// The file that lists every account of this machine.
const PASSWD: &str = "/etc/passwd";

/// An account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
    pub(super) shell: String,
}

/// Finds the user `name` and its group.
pub(super) fn owner(name: &str) -> anyhow::Result<Owner> {
    let account = find(&passwd()?, |account| account.name == name);
    let Account { uid, gid, .. } = account.with_context(|| format!("there is no user `{name}`"))?;
    Ok(Owner { uid, gid })
}

/// Finds the account with this id. A process may have one that no account has.
pub(super) fn account(uid: u32) -> anyhow::Result<Option<Account>> {
    Ok(find(&passwd()?, |account| account.uid == uid))
}

fn passwd() -> anyhow::Result<String> {
    let passwd: io::Result<String> = fs::read_to_string(PASSWD);
    passwd.with_context(|| format!("cannot read `{PASSWD}`"))
}

fn find(passwd: &str, wanted: impl Fn(&Account) -> bool) -> Option<Account> {
    passwd.lines().filter_map(parse).find(|account| wanted(account))
}

/// Fields are name, password, user id, group id, comment, home and shell: passwd(5).
fn parse(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
        shell: shell.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name_or_its_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nstacks:x:1:1:::\nstack:x:995:994:Services:/nonexistent:/sbin/nologin\n";
        let stack = find(passwd, |account| account.name == "stack").unwrap();
        assert_eq!((stack.uid, stack.gid, stack.home.as_str()), (995, 994, "/nonexistent"));
        assert_eq!(find(passwd, |account| account.uid == 995), Some(stack));
        assert_eq!(find(passwd, |account| account.name == "stac"), None);
    }
}
