//! Where the content of a plain transfer goes: a file that is opened when its first byte comes, or stdout.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::http::Failure;
use crate::transfer::sink::{SinkError, open_output};

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
    /// So many bytes more must be text: stdout is a terminal, and nobody has said that it may get anything else.
    pub text: usize,
}

/// How much of what goes to a terminal is looked at, in bytes, as by curl.
pub const LOOKED_AT: usize = 2000;

/// A file that is opened when its first byte comes.
pub struct FileOutput {
    pub path: PathBuf,
    /// Keep what is there, and write from this offset on.
    pub offset: u64,
    /// Missing folders above it are made.
    pub create_folders: bool,
    /// Instead of 0666 less the umask.
    pub mode: Option<u32>,
    file: Option<File>,
}

impl FileOutput {
    pub fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset, create_folders: false, mode: None, file: None }
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

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => Some(&file.path),
        }
    }

    /// Makes sure that the file exists, with nothing behind the position.
    pub(super) fn begin(&mut self) -> Result<(), SinkError> {
        let Self::File(output) = self else { return Ok(()) };
        if output.file.is_some() {
            return Ok(());
        }
        if output.create_folders
            && let Some(folder) = output.path.parent()
        {
            create_folders(folder)?;
        }
        let file = open_output(&output.path, output.offset > 0)?;
        let failed = |e: io::Error| SinkError::new(&output.path, &e);
        let regular = file.metadata().map_err(failed)?.is_file();
        if regular {
            file.set_len(output.offset).map_err(failed)?;
            io::Seek::seek(&mut &file, io::SeekFrom::Start(output.offset)).map_err(failed)?;
        }
        if let Some(mode) = output.mode {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            file.set_permissions(permissions).map_err(failed)?;
        }
        output.file = Some(file);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
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
                let Some(file) = &mut output.file else { return Ok(()) };
                file.write_all(bytes).map_err(|e| SinkError::new(&output.path, &e))?;
                output.offset += bytes.len() as u64;
                Ok(())
            }
        }
    }

    /// Whether these bytes lie there already, `back` bytes before the position. Nobody can tell of what went to stdout.
    pub(super) fn holds(&self, back: u64, bytes: &[u8]) -> Result<bool, SinkError> {
        if bytes.is_empty() {
            return Ok(true);
        }
        let (Self::File(output), Some(first)) = (self, self.position().checked_sub(back)) else {
            return Ok(false);
        };
        let mut there = vec![0; bytes.len()];
        let read = File::open(&output.path).and_then(|file| file.read_exact_at(&mut there, first));
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

    /// Begins anew, if that is possible: what went to stdout cannot be taken back.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stdout(_) => Err(Failure::RangeIgnored),
            Self::File(output) => {
                output.offset = 0;
                output.file = None;
                Ok(())
            }
        }
    }

    /// Takes the name that the server gives.
    pub(super) fn rename(&mut self, name: &str) -> Result<(), SinkError> {
        let Self::File(output) = self else { return Ok(()) };
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

/// Like curl's, folders that are made are 0750.
fn create_folders(folder: &Path) -> Result<(), SinkError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|e| SinkError::new(folder, &e))
}
