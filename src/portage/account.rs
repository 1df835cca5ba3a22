//! The user that fetches, and the group that shares DISTDIR.

/// The number of the group `portage`, by the text of `/etc/group` (group(5)).
pub fn portage_group(groups: &str) -> Option<u32> {
    let line = groups.lines().find_map(|line| line.strip_prefix("portage:"))?;
    line.split(':').nth(1)?.parse().ok()
}

/// A user, and the group that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// The user `portage`, by the text of `/etc/passwd` (passwd(5)).
pub fn portage_account(users: &str) -> Option<Account> {
    let line = users.lines().find_map(|line| line.strip_prefix("portage:"))?;
    let mut fields = line.split(':').skip(1);
    Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nportage:x:250:251:portage:/var/tmp/portage:/sbin/nologin\n";
        assert_eq!(portage_account(users), Some(Account { uid: 250, gid: 251 }));
        assert_eq!(portage_account("portage:x:250"), None);
    }

    #[test]
    fn the_number_is_the_third_field() {
        let groups = "root:x:0:\nportage2:x:7:\nportage:x:250:portage,me\n";
        assert_eq!(portage_group(groups), Some(250));
        for without in ["", "root:x:0:\n", "portage:x\n", "portage:x:y:\n"] {
            assert_eq!(portage_group(without), None, "{without}");
        }
    }
}
