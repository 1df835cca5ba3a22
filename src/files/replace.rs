//! Puts a whole file in the place of another one.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Folder;

/// Gives a file this content and mode by one rename: whoever reads it finds the old content or the new one, whole.
/// What is no regular file is not replaced.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (folder, name) = Folder::of(path)?;
    match folder.hold(name) {
        Ok(there) if !there.metadata()?.is_file() => {
            return Err(io::Error::other("there is something else than a file, and it stays"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(format!(".tmp-{}", std::process::id()));
    let _ = folder.remove_file(&draft); // of a process with our number that was killed
    let mut file = folder.create_file(&draft, 0o600)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| folder.rename_file(&file, &draft, name));
    if written.is_err() {
        let _ = folder.remove_file(&draft); // it is only untidy
    }
    written
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for content in ["first", "2"] {
            replace(&path, content.as_bytes(), 0o644).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644, "whatever the umask is");
        }
        let link = folder.path().join("link");
        symlink("f", &link).unwrap();
        let inner = folder.path().join("folder");
        fs::create_dir(&inner).unwrap();
        for other in [&link, &inner] {
            let error = replace(other, b"x", 0o644).unwrap_err();
            assert!(error.to_string().contains("it stays"), "{error}");
        }
        assert_eq!(fs::read_to_string(&link).unwrap(), "2");
        assert_eq!(
            replace(&folder.path().join("no/f"), b"", 0o644).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no draft is left");
    }
}
