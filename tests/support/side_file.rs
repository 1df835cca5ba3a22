//! What the program keeps beside a distfile that is under way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that lie ahead of FILE's end, holes not counted.
pub fn ahead(distdir: &Path, name: &str) -> u64 {
    let side_file = distdir.join(format!(".racefetch/{name}.ahead"));
    fs::metadata(side_file).map_or(0, |file| file.blocks() * 512)
}
