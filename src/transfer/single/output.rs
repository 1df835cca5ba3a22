//! Where the content of a plain transfer goes: a file that is opened when its first byte comes, or stdout.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::files::{self, Existing};
use crate::http::Failure;
use crate::transfer::sink::{Hold, SinkError};

/// Where content goes.
pub enum Output {
    Stdout(Stdout),
    File(FileOutput),
}

/// The process's own output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout {
    /// Offset of the file's next byte.
    pub position: u64,
    /// How many more bytes must be text. Set when stdout is a terminal and the user has not asked for binary
    /// output there.
    pub text: usize,
}

/// How much of what goes to a terminal is looked at, in bytes, as by curl.
pub const LOOKED_AT: usize = 2000;

/// A file that is opened when its first byte comes.
pub struct FileOutput {
    pub path: PathBuf,
    /// Keep what is there, and write from this offset on.
    pub offset: u64,
    /// How many bytes before the offset the file lacks: all of them with `-C OFFSET` and no file.
    pub without: u64,
    /// Instead of 0666 less the umask.
    pub mode: Option<u32>,
    /// The right to write to it.
    pub hold: Option<Hold>,
    file: Option<File>,
    /// The length of the file when the content began anew. Those bytes stay as long as the same ones come.
    held: u64,
    /// It has the name that the server gave it.
    renamed: bool,
}

impl FileOutput {
    pub fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset, without: 0, mode: None, hold: None, file: None, held: 0, renamed: false }
    }
}

impl Output {
    /// How many bytes are there already.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Stdout(stdout) => stdout.position,
            Self::File(file) => file.offset,
        }
    }

    /// How far it is filled, whatever of that is being compared.
    pub(super) fn furthest(&self) -> u64 {
        match self {
            Self::Stdout(stdout) => stdout.position,
            Self::File(file) => file.offset.max(file.held),
        }
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => Some(&file.path),
        }
    }

    /// Whether there is anything that can be gone on with.
    pub(super) fn is_there(&self) -> bool {
        self.path().is_none_or(Path::exists)
    }

    /// Makes sure that the file exists, with nothing behind the position.
    pub(super) fn begin(&mut self) -> Result<(), SinkError> {
        let Self::File(output) = self else { return Ok(()) };
        if output.file.is_some() {
            return Ok(());
        }
        output.check_hold()?;
        let end = output.offset - output.without;
        let failed = |e: io::Error| SinkError::new(&output.path, &e);
        let existing = if end > 0 { Existing::Keep } else { Existing::Empty };
        let file = files::open_output(&output.path, existing).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() {
            if output.held > 0 && metadata.len() < end {
                return Err(SinkError {
                    path: output.path.clone(),
                    reason: "was removed meanwhile".to_owned(),
                });
            }
            file.set_len(end).map_err(failed)?;
            io::Seek::seek(&mut &file, io::SeekFrom::Start(end)).map_err(failed)?;
        }
        if let Some(mode) = output.mode {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            file.set_permissions(permissions).map_err(failed)?;
        }
        output.file = Some(file);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let same = self.same(bytes);
        if let (Self::File(output), true) = (&mut *self, same > 0) {
            output.offset += same as u64;
        }
        let bytes = &bytes[same..];
        if bytes.is_empty() {
            return Ok(());
        }
        self.begin()?;
        match self {
            Self::Stdout(stdout) => {
                if stdout.text > 0 && bytes.contains(&0) {
                    let reason =
                        "a terminal is no place for binary content: save it with -o FILE (-o - shows it)";
                    return Err(SinkError { path: PathBuf::from("stdout"), reason: reason.to_owned() });
                }
                stdout.text = stdout.text.saturating_sub(bytes.len());
                stdout.position += bytes.len() as u64;
                io::stdout().lock().write_all(bytes).map_err(|e| SinkError::new(Path::new("stdout"), &e))
            }
            Self::File(output) => {
                output.held = 0;
                output.check_hold()?;
                let Some(file) = &mut output.file else { return Ok(()) };
                file.write_all(bytes).map_err(|e| SinkError::new(&output.path, &e))?;
                output.offset += bytes.len() as u64;
                Ok(())
            }
        }
    }

    /// How many of these bytes, from the first one on, lie at the position already.
    fn same(&self, bytes: &[u8]) -> usize {
        let Self::File(output) = self else { return 0 };
        let most = output.held.saturating_sub(output.offset).min(bytes.len() as u64);
        let Ok(most @ 1..) = usize::try_from(most) else { return 0 };
        let mut there = vec![0; most];
        let read = output.open_for_reading().and_then(|file| file.read_exact_at(&mut there, output.offset));
        if read.is_err() {
            return 0;
        }
        there.iter().zip(bytes).take_while(|(there, new)| there == new).count()
    }

    /// Whether these bytes lie there already, `back` bytes before the position. Never for stdout, which
    /// cannot be read back.
    pub(super) fn holds(&self, back: u64, bytes: &[u8]) -> Result<bool, SinkError> {
        if bytes.is_empty() {
            return Ok(true);
        }
        let Self::File(output) = self else { return Ok(false) };
        let Some(first) = output.offset.checked_sub(output.without + back) else { return Ok(false) };
        let mut there = vec![0; bytes.len()];
        let read = output.open_for_reading().and_then(|file| file.read_exact_at(&mut there, first));
        read.map_err(|error| SinkError::new(&output.path, &error))?;
        Ok(there == bytes)
    }

    /// An error when the file is not at its place any longer.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        let Self::File(FileOutput { path, file: Some(file), .. }) = self else { return Ok(()) };
        let failed = |e: io::Error| SinkError::new(path, &e);
        let ours = file.metadata().map_err(failed)?;
        if ours.is_file() && ours.nlink() == 0 {
            return Err(SinkError { path: path.clone(), reason: "was removed meanwhile".to_owned() });
        }
        Ok(())
    }

    /// Whether it can begin anew: what went to stdout or into a pipe cannot be taken back.
    pub(super) fn can_restart(&self) -> bool {
        match self {
            Self::Stdout(_) => false,
            Self::File(FileOutput { offset: 0, .. } | FileOutput { file: None, .. }) => true,
            Self::File(FileOutput { file: Some(file), .. }) => {
                file.metadata().is_ok_and(|file| file.is_file())
            }
        }
    }

    /// Begins anew. What lies in the file stays until something else comes in its place.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        if !self.can_restart() {
            return Err(Failure::RangeIgnored);
        }
        if let Self::File(output) = self {
            // With bytes missing before it, what lies there is not the beginning.
            output.held = if output.without > 0 { 0 } else { output.held.max(output.offset) };
            (output.offset, output.without) = (0, 0);
            output.file = None;
        }
        Ok(())
    }

    /// The content broke off. The rest of the old bytes is still there, and can be compared with the next
    /// attempt.
    pub(super) fn keep(&mut self) {
        if let Self::File(output) = self {
            output.offset = output.offset.max(output.held);
        }
    }

    /// Takes the name that the server gives.
    pub(super) fn rename(&mut self, name: &str) -> Result<(), SinkError> {
        let Self::File(output) = self else { return Ok(()) };
        if std::mem::replace(&mut output.renamed, true) {
            return Ok(());
        }
        let path = output.path.with_file_name(name);
        if path.symlink_metadata().is_ok() {
            let error =
                io::Error::new(io::ErrorKind::AlreadyExists, "exists already, and -J replaces nothing");
            return Err(SinkError::new(&path, &error));
        }
        output.path = path;
        Ok(())
    }

    /// The open file, if one was opened.
    pub fn file(&self) -> Option<&File> {
        match self {
            Self::Stdout(_) => None,
            Self::File(output) => output.file.as_ref(),
        }
    }
}

impl FileOutput {
    /// An error when the file is another process's by now.
    pub fn check_hold(&self) -> Result<(), SinkError> {
        self.hold.as_ref().map_or(Ok(()), Hold::check)
    }

    fn open_for_reading(&self) -> io::Result<File> {
        files::open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a content that was begun, and what lies there after these pieces came from the beginning.
    fn after(held: &[u8], pieces: &[&[u8]]) -> (Output, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, held).unwrap();
        let mut output = Output::File(FileOutput::new(path.clone(), held.len() as u64));
        output.restart().unwrap();
        for piece in pieces {
            output.write(piece).unwrap();
        }
        (output, path, folder)
    }

    #[test]
    fn what_is_there_stays_as_long_as_the_same_comes() {
        for (held, pieces, there, position, kept) in [
            ("abcd", &["ab"][..], "abcd", 2, 4),
            ("abcd", &["ab", "cd"], "abcd", 4, 4),
            ("abcd", &["abcdef"], "abcdef", 6, 6),
            ("abcd", &["abc", "def"], "abcdef", 6, 6),
            ("abcd", &["abX"], "abX", 3, 3),
            ("abcd", &["X"], "X", 1, 1),
            ("abcd", &[], "abcd", 0, 4),
        ] {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let (mut output, path, _folder) = after(held.as_bytes(), &pieces);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), there, "{held} {pieces:?}");
            assert_eq!((output.position(), output.furthest()), (position, kept), "{held} {pieces:?}");
            output.keep();
            assert_eq!(output.position(), kept, "{held} {pieces:?}");
        }
    }

    #[test]
    fn at_its_end_the_content_is_all_that_lies_there() {
        for (pieces, there) in
            [(&[b"ab".as_slice()][..], "ab"), (&[b"ab", b"cdef"], "abcdef"), (&[b"x"], "x")]
        {
            let (mut output, path, _folder) = after(b"abcd", pieces);
            output.begin().unwrap();
            assert_eq!(std::fs::read_to_string(path).unwrap(), there);
        }
    }

    #[test]
    fn a_file_that_is_removed_meanwhile_gets_no_hole() {
        let (mut output, path, _folder) = after(b"abcd", &[b"ab"]);
        std::fs::remove_file(path).unwrap();
        assert!(output.write(b"cd").is_err());
    }

    #[test]
    fn a_pipe_cannot_begin_anew_once_something_went_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut output = Output::File(FileOutput::new(path, 0));
        assert!(output.can_restart());
        output.write(b"ab").unwrap();
        assert_eq!(output.restart(), Err(Failure::RangeIgnored));
        assert_eq!(Output::Stdout(Stdout::default()).restart(), Err(Failure::RangeIgnored));
        drop(reader);
    }
}
