//! Where the content goes.

use super::Effect::{Sets, Turns};
use super::Help::{Common, Full};
use super::{Entry, set, set_some, switch, value};
#[cfg(test)]
use super::{Example, FetchOptions};
use crate::cli::options::{Fail, Output, Sink};

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: switch("create-dirs"),
        help: Full("create the missing folders of the output, mode 0750"),
        effect: Turns(|o| &mut o.output.create_dirs),
        #[cfg(test)]
        example: Example::Sets("--create-dirs", |o| o.output.create_dirs),
    },
    Entry {
        spelling: value("dump-header", "file").short('D'),
        help: Full("write the received header fields to a file"),
        effect: Sets(|b, a| set_some(&mut b.options.output.dump_header, a.sink())),
        #[cfg(test)]
        example: Example::Sets("-D f", |o| o.output.dump_header == Some(Sink::File("f".into()))),
    },
    Entry {
        spelling: switch("fail").short('f'),
        help: Common("no output and exit status 22 when the server answers an error"),
        effect: Sets(|b, a| {
            b.options.output.fail = if a.on { Fail::Fast } else { Fail::No };
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("--no-fail -f", |o| o.output.fail == Fail::Fast),
    },
    Entry {
        spelling: switch("fail-early"),
        help: Full("stop at the first URL that fails"),
        effect: Turns(|o| &mut o.fail_early),
        #[cfg(test)]
        example: Example::Sets("--fail-early", |o| o.fail_early),
    },
    Entry {
        spelling: switch("fail-with-body"),
        help: Full("exit status 22 on an error, and save its content"),
        effect: Sets(|b, a| {
            b.options.output.fail = if a.on { Fail::WithBody } else { Fail::No };
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("--fail-with-body", |o| o.output.fail == Fail::WithBody),
    },
    Entry {
        spelling: value("output", "file").short('o'),
        help: Common("write to this file instead of stdout"),
        effect: Sets(|b, a| {
            b.add_output(match a.sink()? {
                Sink::Stdout => Output::File("-".into()), // named, so that a terminal gets it, too
                Sink::File(file) => Output::File(file),
            });
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("-o f", |o| output(o) == &Output::File("f".into())),
    },
    Entry {
        spelling: value("output-dir", "dir"),
        help: Full("folder of -o and -O"),
        effect: Sets(|b, a| set_some(&mut b.options.output.directory, a.path())),
        #[cfg(test)]
        example: Example::Sets("--output-dir d -o f", |o| output(o) == &Output::File("d/f".into())),
    },
    Entry {
        spelling: switch("remote-header-name").short('J'),
        help: Full("with -O: take the name from Content-Disposition"),
        effect: Turns(|o| &mut o.output.remote_header_name),
        #[cfg(test)]
        example: Example::Sets("-OJ", |o| o.output.remote_header_name),
    },
    Entry {
        spelling: switch("remote-name").short('O'),
        help: Common("write to a file named as in the URL"),
        effect: Sets(|b, a| {
            b.remote_name(a.on);
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("-O", |o| output(o) == &Output::RemoteName),
    },
    Entry {
        spelling: switch("remote-name-all"),
        help: Full("-O for every URL without -o"),
        effect: Sets(|b, a| set(&mut b.remote_name_all, Ok(a.on))),
        #[cfg(test)]
        example: Example::Sets("--remote-name-all", |o| output(o) == &Output::RemoteName),
    },
    Entry {
        spelling: switch("remote-time").short('R'),
        help: Full("give the file the server's modification time"),
        effect: Turns(|o| &mut o.output.remote_time),
        #[cfg(test)]
        example: Example::Sets("-R", |o| o.output.remote_time),
    },
    Entry {
        spelling: switch("remove-on-error"),
        help: Full("remove the file when the transfer fails"),
        effect: Turns(|o| &mut o.output.remove_on_error),
        #[cfg(test)]
        example: Example::Sets("--remove-on-error", |o| o.output.remove_on_error),
    },
    Entry {
        spelling: switch("skip-existing"),
        help: Full("fetch nothing when the output file exists"),
        effect: Turns(|o| &mut o.output.skip_existing),
        #[cfg(test)]
        example: Example::Sets("--skip-existing", |o| o.output.skip_existing),
    },
];

#[cfg(test)]
fn output(options: &FetchOptions) -> &Output {
    &options.transfers[0].output
}
