//! The group that shares DISTDIR.

/// The number of the group `portage`, by the text of `/etc/group` (group(5)).
pub fn portage_group(groups: &str) -> Option<u32> {
    let line = groups.lines().find_map(|line| line.strip_prefix("portage:"))?;
    line.split(':').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_third_field() {
        let groups = "root:x:0:\nportage2:x:7:\nportage:x:250:portage,me\n";
        assert_eq!(portage_group(groups), Some(250));
        for without in ["", "root:x:0:\n", "portage:x\n", "portage:x:y:\n"] {
            assert_eq!(portage_group(without), None, "{without}");
        }
    }
}
