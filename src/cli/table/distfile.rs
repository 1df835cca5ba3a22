//! What curl has no word for: the distfile, its mirrors, and the record of a transfer.

use super::Effect::Sets;
#[cfg(test)]
use super::Example;
use super::Help::{Common, Own};
use super::{Entry, Takes, set, set_some, spelling, switch, value};
#[cfg(test)]
use crate::cli::options::Sink;
use crate::cli::values::{self, Complaint};

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: spelling("digests", Takes::ValueOrOption("words")),
        help: Own("what the file must be: 'blake2b:HEX sha512:HEX'"),
        effect: Sets(|b, a| {
            b.options.distfile.digests.get_or_insert_default();
            a.read(|words| b.digests(words))
        }),
        #[cfg(test)]
        example: Example::Sets("--digests -s", |o| o.distfile.digests.is_some()),
    },
    Entry {
        spelling: switch("look-ahead"),
        help: Own("fetch the package's other files, too (on by default in Portage)"),
        effect: Sets(|b, a| set(&mut b.options.distfile.no_look_ahead, Ok(!a.on))),
        #[cfg(test)]
        example: Example::Sets("--no-look-ahead", |o| o.distfile.no_look_ahead),
    },
    Entry {
        spelling: value("mirrors", "URLs"),
        help: Own("other mirrors that may have the file"),
        effect: Sets(|b, a| {
            let words = a.text()?.split_whitespace().map(str::to_owned);
            b.options.distfile.mirrors = Some(words.collect());
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("--mirrors http://m", |o| {
            o.distfile.mirrors == Some(vec!["http://m".to_owned()])
        }),
    },
    Entry {
        spelling: value("parallel-mirrors", "num"),
        help: Own("mirrors to use at once at most"),
        effect: Sets(|b, a| set_some(&mut b.options.distfile.parallel_mirrors, a.read(at_least_one))),
        #[cfg(test)]
        example: Example::Sets("--parallel-mirrors 2", |o| o.distfile.parallel_mirrors == Some(2)),
    },
    Entry {
        spelling: value("size", "bytes"),
        help: Own("the file's size"),
        effect: Sets(|b, a| set_some(&mut b.options.distfile.size, a.read(values::number))),
        #[cfg(test)]
        example: Example::Sets("--size 9", |o| o.distfile.size == Some(9)),
    },
    Entry {
        spelling: value("state", "file"),
        help: Own("where the mirrors' figures are kept"),
        effect: Sets(|b, a| set_some(&mut b.options.distfile.state, a.path())),
        #[cfg(test)]
        example: Example::Sets("--state f", |o| o.distfile.state == Some("f".into())),
    },
    Entry {
        spelling: value("tier", "PATTERN=N"),
        help: Own("ask mirrors of this host or URL in tier N: 0 first, else 1"),
        effect: Sets(|b, a| b.options.distfile.tiers.add(a.text()?).map_err(|error| a.wrong(error))),
        #[cfg(test)]
        example: Example::Sets("--tier .org=2", |o| o.distfile.tiers != crate::portage::Tiers::default()),
    },
    Entry {
        spelling: value("timeline", "file.svg"),
        help: Own("draw which mirror sent what when; - is stdout"),
        effect: Sets(|b, a| set_some(&mut b.options.distfile.timeline, a.sink())),
        #[cfg(test)]
        example: Example::Sets("--timeline -", |o| o.distfile.timeline == Some(Sink::Stdout)),
    },
    Entry {
        spelling: value("trace", "file.json"),
        // curl has an option of this name.
        help: Common("write down which mirror sent what when, not as curl does; - is stdout"),
        effect: Sets(|b, a| set_some(&mut b.options.distfile.trace, a.sink())),
        #[cfg(test)]
        example: Example::Sets("--trace f", |o| o.distfile.trace == Some(Sink::File("f".into()))),
    },
];

fn at_least_one(text: &str) -> Result<u32, Complaint> {
    let mirrors = values::count(text)?;
    if mirrors == 0 {
        return Err("at least 1 mirror is needed".to_owned());
    }
    Ok(mirrors)
}
