//! Reads the Manifests of all repositories at once, which are tens of thousands of small files.

use std::fs;
use std::path::PathBuf;
use std::thread;

use super::configuration::Configuration;
use super::environment::read_config;
use crate::portage::ManifestIndex;

/// What the Manifests of all repositories say of the distfiles whose names are wanted; none when there are no
/// Manifests. `warn` is told what could not be read.
pub(super) fn manifest_index(
    configuration: &Configuration<'_>,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    warn: &dyn Fn(&str),
) -> Option<ManifestIndex> {
    let repositories = configuration.repositories();
    let categories = repositories.categories(configuration.system().configroot, &read_config);
    let manifests = repositories.manifests(&categories, &read_config);
    for problem in repositories.problems() {
        warn(&problem.to_string());
    }
    if manifests.is_empty() {
        return None;
    }
    let index = read_manifests(&manifests, wanted);
    for problem in index.problems() {
        warn(problem);
    }
    Some(index)
}

/// What the Manifests say of the distfiles whose names are wanted. Paths where no Manifest is are passed
/// over; a Manifest that is there and cannot be read is noted in [`ManifestIndex::problems`].
fn read_manifests(manifests: &[PathBuf], wanted: &(dyn Fn(&str) -> bool + Sync)) -> ManifestIndex {
    let mut whole = ManifestIndex::default();
    // In the order of the list, so that the result does not depend on the threads.
    for index in in_shares(manifests, |share| read_share(share, wanted)) {
        whole.merge(index);
    }
    whole
}

/// Has many threads work on a share of a list each; this one, where there are no more. What comes of it is in the order
/// of the list.
pub(super) fn in_shares<T: Sync, R: Send>(list: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let share = list.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let work = &work;
        let begin =
            |share| thread::Builder::new().spawn_scoped(scope, move || work(share)).map_err(|_| work(share));
        let shares: Vec<_> = list.chunks(share).map(begin).collect();
        let result = |share: Result<_, R>| match share.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) | Err(result) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
        };
        shares.into_iter().map(result).collect()
    })
}

/// Threads that read: more than there are cores, since each of them mostly waits for the disk. With sixteen
/// the files of a whole repository come in two thirds of the time that two need, when none is in the page
/// cache.
const READERS: usize = 16;

fn read_share(manifests: &[PathBuf], wanted: &(dyn Fn(&str) -> bool + Sync)) -> ManifestIndex {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let mut index = ManifestIndex::default();
    for path in manifests {
        match fs::read(path) {
            Ok(content) => index.add(path, &String::from_utf8_lossy(&content), wanted),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {}
            Err(error) => index.note(format!("cannot read {}: {error}", path.display())),
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::Distfile;

    #[test]
    fn every_manifest_is_read_and_the_first_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let manifests: Vec<_> = (0..50)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                let digest = "ab".repeat(32);
                fs::write(&path, format!("DIST same 1 SHA256 {digest}\nDIST d{number} 1 SHA256 {digest}\n"))
                    .unwrap();
                path
            })
            .chain([folder.path().join("absent"), folder.path().join("0/file"), folder.path().to_path_buf()])
            .collect();
        let index = read_manifests(&manifests, &|name| name != "d7");
        let listed = |name: &str| index.find(&Distfile::new(name).unwrap()).to_vec();
        for number in (0..50).filter(|number| *number != 7) {
            assert_eq!(*listed(&format!("d{number}"))[0].manifest, manifests[number]);
        }
        assert!(listed("d7").is_empty());
        assert_eq!(listed("same").len(), 1);
        assert_eq!(*listed("same")[0].manifest, manifests[0]);
        assert!(matches!(index.problems(), [problem] if problem.contains("cannot read")));
    }
}
