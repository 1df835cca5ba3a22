//! Files that run `racefetch prefetch` every night: of systemd or of cron.

/// A file of the timer.
pub(super) struct TimerFile {
    /// Below the root of the system.
    pub(super) path: &'static str,
    pub(super) text: String,
    pub(super) mode: u32,
}

/// What starts programs at their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starter {
    Systemd,
    /// A daemon that runs what lies in `/etc/cron.daily`: that of `OpenRC` systems.
    Cron,
}

/// The unit that has to be enabled, and the link that does so.
pub(super) const SYSTEMD_LINK: (&str, &str) =
    ("etc/systemd/system/timers.target.wants/racefetch-prefetch.timer", "../racefetch-prefetch.timer");

/// `racefetch` is the path of this program.
pub(super) fn files(starter: Starter, racefetch: &str) -> Vec<TimerFile> {
    let prefetch = format!("{racefetch} prefetch --quiet --update --deep --newuse @world");
    match starter {
        Starter::Systemd => vec![
            TimerFile {
                path: "etc/systemd/system/racefetch-prefetch.service",
                text: format!(
                    "[Unit]\nDescription=Fetch what the next update needs\nWants=network-online.target\n\
                     After=network-online.target\n\n[Service]\nType=oneshot\nExecStart={prefetch}\nNice=19\n\
                     IOSchedulingClass=idle\n"
                ),
                mode: 0o644,
            },
            TimerFile {
                path: "etc/systemd/system/racefetch-prefetch.timer",
                text: "[Unit]\nDescription=Fetch every night what the next update needs\n\n[Timer]\n\
                       OnCalendar=daily\nRandomizedDelaySec=4h\nPersistent=true\n\n[Install]\n\
                       WantedBy=timers.target\n"
                    .to_owned(),
                mode: 0o644,
            },
        ],
        Starter::Cron => vec![TimerFile {
            path: "etc/cron.daily/racefetch-prefetch",
            text: format!(
                "#!/bin/sh\n# Fetches every night what the next update needs.\nexec nice -n 19 {prefetch}\n"
            ),
            mode: 0o755,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_started_by_its_path() {
        for (starter, line) in [
            (Starter::Systemd, "\nExecStart=/usr/bin/racefetch prefetch --quiet "),
            (Starter::Cron, "\nexec nice -n 19 /usr/bin/racefetch prefetch --quiet "),
        ] {
            let files = files(starter, "/usr/bin/racefetch");
            assert_eq!(files.iter().filter(|file| file.text.contains(line)).count(), 1);
            assert!(files.iter().all(|file| file.text.ends_with('\n') && !file.path.starts_with('/')));
        }
    }
}
