//! Places: where a scan may begin.
//!
//! A path is first compared with the configured roots by its parts alone, so nothing outside of
//! them is touched, not even to see whether it exists. Below a root every step goes through a
//! handle of the directory (`cap-std`): the kernel itself refuses to leave it, also by a symbolic
//! link that is put there meanwhile.

use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// Why a scan does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// No directory may be scanned at all.
    #[error(
        "no directory may be scanned here: list those that may in `producer.scan.roots`, such as \
         TIDINGS__PRODUCER__SCAN__ROOTS='[\"/data\"]'"
    )]
    NoRoots,
    /// The path is not below a root.
    #[error("Failed to scan directory: the path is not below a directory that may be scanned")]
    Outside,
    /// There is nothing at the path.
    #[error("Failed to scan directory: Directory not found")]
    NotFound,
    /// There is something else at the path.
    #[error("Failed to scan directory: Not a directory")]
    NotADirectory,
    /// It cannot be read, or leads out of its root.
    #[error("Failed to scan directory: Permission denied")]
    Denied,
    /// Something else went wrong.
    #[error("Failed to scan directory: {0}")]
    Other(String),
}

/// The directory at a path, if it lies below one of the roots.
///
/// # Errors
/// [`PlaceError`].
pub(super) fn open(roots: &[PathBuf], path: &str) -> Result<Dir, PlaceError> {
    if roots.is_empty() {
        return Err(PlaceError::NoRoots);
    }
    let (root, rest) = below(roots, path).ok_or(PlaceError::Outside)?;
    let root = Dir::open_ambient_dir(root, ambient_authority()).map_err(|e| told(&e))?;
    if rest.as_os_str().is_empty() {
        return Ok(root);
    }
    root.open_dir(rest).map_err(|e| told(&e))
}

/// The root that a path lies below, and the rest of the path.
fn below<'a>(roots: &'a [PathBuf], path: &str) -> Option<(&'a Path, PathBuf)> {
    if path.contains('\0') {
        return None;
    }
    let path = Path::new(path);
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
    if !path.is_absolute() || !path.components().all(is_plain) {
        return None;
    }
    let holds = |root: &&PathBuf| path.starts_with(root);
    let root = roots
        .iter()
        .filter(holds)
        .max_by_key(|root| root.components().count())?;
    let rest = path.strip_prefix(root).ok()?;
    Some((root, rest.to_owned()))
}

fn told(error: &io::Error) -> PlaceError {
    match error.kind() {
        io::ErrorKind::NotFound => PlaceError::NotFound,
        io::ErrorKind::NotADirectory => PlaceError::NotADirectory,
        io::ErrorKind::PermissionDenied => PlaceError::Denied,
        _ => PlaceError::Other(error.kind().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_a_root_by_its_parts_is_looked_at() {
        let roots = [PathBuf::from("/data"), PathBuf::from("/data/deep")];
        let rest = |path| below(&roots, path).map(|(root, rest)| (root.to_owned(), rest));
        let found = |root: &str, rest: &str| Some((PathBuf::from(root), PathBuf::from(rest)));
        assert_eq!(rest("/data"), found("/data", ""));
        assert_eq!(rest("/data/"), found("/data", ""));
        assert_eq!(rest("/data//a/./b"), found("/data", "a/b"));
        assert_eq!(rest("/data/deep/x"), found("/data/deep", "x"));
        let outside = [
            "",
            "/",
            "data",
            "./data",
            "/etc/passwd",
            "/database",
            "/data/../etc",
            "/data/..",
            "/../data",
            "/data/a/../../etc",
            "//etc",
            "\\data",
            "/data\0/x",
            "~/data",
        ];
        for path in outside {
            assert_eq!(rest(path), None, "{path:?}");
        }
    }
}
