//! Mirrors of all kinds, and what is told of them.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;
use crate::support::content::content;
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;

/// The path of the file on each of them.
pub const PATH: &str = "/distfiles/foo-1.tar.xz";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Good,
    Slow,
    Late,
    Closing,
    Resetting,
    Stalling,
    NoRanges,
    RangesForbidden,
    Chunked,
    UnfinishedChunks,
    UntilClose,
    NotFound,
    Busy,
    Refusing,
    Empty,
    Garbage,
    Portal,
    Endless,
    OneByteWrong,
    OtherFile,
    Short,
}

const KINDS: [Kind; 21] = [
    Kind::Good,
    Kind::Slow,
    Kind::Late,
    Kind::Closing,
    Kind::Resetting,
    Kind::Stalling,
    Kind::NoRanges,
    Kind::RangesForbidden,
    Kind::Chunked,
    Kind::UnfinishedChunks,
    Kind::UntilClose,
    Kind::NotFound,
    Kind::Busy,
    Kind::Refusing,
    Kind::Empty,
    Kind::Garbage,
    Kind::Portal,
    Kind::Endless,
    Kind::OneByteWrong,
    Kind::OtherFile,
    Kind::Short,
];

impl Kind {
    /// Whether bytes of the content that it sends can be wrong.
    pub fn lies(self) -> bool {
        matches!(self, Self::Portal | Self::Endless | Self::OneByteWrong | Self::OtherFile | Self::Short)
    }
}

/// One mirror, or a port where none is.
pub struct Place {
    pub kind: Kind,
    server: Server,
}

enum Server {
    Mirror(Mirror),
    Nobody(Port),
}

impl Place {
    /// Of a kind that chance decides, but not one of those that take seconds too often.
    pub fn any(file: &[u8], number: u64, dice: &mut Dice) -> Self {
        let kind = match dice.pick(&KINDS) {
            Kind::Stalling if !dice.once_in(4) => Kind::Good,
            kind => kind,
        };
        Self::new(kind, file, number, dice)
    }

    pub fn new(kind: Kind, file: &[u8], number: u64, dice: &mut Dice) -> Self {
        if kind == Kind::Refusing {
            return Self { kind, server: Server::Nobody(Port::refusing()) };
        }
        let mirror = Mirror::start();
        mirror.allow_unwanted();
        mirror.on(PATH).add(rule(kind, file, number, dice).always());
        mirror.on("/distfiles/layout.conf").status(404).always();
        Self { kind, server: Server::Mirror(mirror) }
    }

    /// As in `GENTOO_MIRRORS`.
    pub fn base(&self) -> String {
        match &self.server {
            Server::Mirror(mirror) => format!("http://{}", mirror.address()),
            Server::Nobody(port) => format!("http://{}", port.address()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

fn rule(kind: Kind, file: &[u8], number: u64, dice: &mut Dice) -> Rule {
    let good = Rule::serve(file.to_vec());
    let somewhere = dice.below(file.len() as u64);
    match kind {
        Kind::Good | Kind::Refusing => good,
        Kind::Slow => good.rate(100_000 + dice.below(2_000_000)),
        Kind::Late => good.delay(Duration::from_millis(dice.below(1500))),
        Kind::Closing => good.close_after(somewhere),
        Kind::Resetting => good.reset_after(somewhere),
        // Each time costs the patience of a call.
        Kind::Stalling => good.stall_after(file.len() as u64 / 4 + somewhere * 3 / 4),
        Kind::NoRanges => good.no_ranges(),
        Kind::RangesForbidden => good.range_status(dice.pick(&[403, 416, 501])),
        Kind::Chunked => good.chunked(),
        Kind::UnfinishedChunks => good.chunked_unfinished(),
        Kind::UntilClose => good.until_close(),
        Kind::NotFound => Rule::status(dice.pick(&[404, 410, 403])),
        Kind::Busy => Rule::status(dice.pick(&[503, 429, 500])),
        Kind::Empty => Rule::empty_reply(),
        Kind::Garbage => Rule::raw(content(dice.below(u64::MAX), 300)),
        Kind::Portal => Rule::portal(),
        Kind::Endless => good.endless().until_close(),
        // No two of a world send the same: that would be a file on which mirrors agree.
        Kind::OneByteWrong => {
            let mut wrong = file.to_vec();
            wrong[dice.at(file.len())] ^= 1 << number;
            Rule::serve(wrong)
        }
        // The seed of no other content.
        Kind::OtherFile => Rule::serve(content(dice.below(u64::MAX) | 1 << 63, file.len())),
        Kind::Short => Rule::serve(file[..dice.at(file.len())].to_vec()),
    }
}
