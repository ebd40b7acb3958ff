//! The walk: one thread that goes through a tree, depth first.
//!
//! It holds one handle a level and follows no symbolic link, so it cannot leave the directory it
//! began in. What it cannot read becomes a warning. It tells how far it is by [`Told`], which
//! others read when they like, and asks there whether it is to stop.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, FileType, Metadata, ReadDir};

use super::report::{Bounds, Draft, Found, Report, modified};

/// Most entries of a directory that are read ahead.
const BATCH: usize = 4096;

/// How far a walk is, as it tells others.
#[derive(Debug, Default)]
pub(super) struct Told {
    is_stopped: AtomicBool,
    progress: Mutex<Progress>,
}

/// How far a walk is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that were looked at.
    pub scanned: u64,
    /// Files that were discovered so far.
    pub total: u64,
    /// The newest of them.
    pub current_path: String,
}

/// Whether directories below the first are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// All of them, down to so many levels.
    Levels(usize),
    /// None.
    Flat,
}

impl Told {
    /// Tells the walk to stop.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// How far the walk is.
    pub(super) fn progress(&self) -> Progress {
        self.progress
            .lock()
            .expect("no holder of it panics")
            .clone()
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().expect("no holder of it panics"));
    }
}

/// A directory on the way down.
struct Level {
    dir: Dir,
    rest: ReadDir,
    batch: VecDeque<(OsString, FileType)>,
    path: String,
}

/// Walks a tree; nothing when it was stopped.
pub(super) fn walk(
    dir: Dir,
    path: &str,
    depth: Depth,
    bounds: Bounds,
    told: &Told,
) -> io::Result<Option<Report>> {
    let mut draft = Draft::new(bounds);
    let path = match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.to_owned(),
    };
    let mut levels = vec![Level::new(dir, path)?];
    loop {
        let count = levels.len();
        let Some(level) = levels.last_mut() else {
            return Ok(Some(draft.finish()));
        };
        if told.is_stopped() {
            return Ok(None);
        }
        let Some((name, kind)) = level.next(&mut draft, told) else {
            levels.pop();
            continue;
        };
        let path = level.path_of(&name);
        if kind.is_dir() {
            match depth {
                Depth::Flat => {}
                Depth::Levels(max) if count >= max => {
                    draft.warn(format!("Too deep, not scanned: {path}"));
                }
                Depth::Levels(_) => match level.enter(&name, path) {
                    Ok(below) => levels.push(below),
                    Err(warning) => draft.warn(warning),
                },
            }
        } else if kind.is_file() {
            level.look_at(&name, &path, &mut draft);
            told.update(|progress| {
                progress.scanned += 1;
                progress.current_path = path;
            });
        } else if kind.is_symlink() {
            draft.warn(format!("Symbolic link not followed: {path}"));
        }
    }
}

impl Level {
    fn new(dir: Dir, path: String) -> io::Result<Self> {
        let rest = dir.entries()?;
        Ok(Self {
            dir,
            rest,
            batch: VecDeque::new(),
            path,
        })
    }

    /// The next entry; a batch is read ahead and sorted, so that small directories come in order.
    fn next(&mut self, draft: &mut Draft, told: &Told) -> Option<(OsString, FileType)> {
        if self.batch.is_empty() {
            let mut batch = Vec::new();
            for entry in self.rest.by_ref().take(BATCH) {
                match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                    Ok(entry) => batch.push(entry),
                    Err(error) => draft.warn(warning(&error, &self.path)),
                }
            }
            batch.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let files = batch.iter().filter(|(_, kind)| kind.is_file()).count();
            told.update(|progress| progress.total += files as u64);
            self.batch = batch.into();
        }
        self.batch.pop_front()
    }

    fn path_of(&self, name: &OsString) -> String {
        let name = name.to_string_lossy();
        if self.path.ends_with('/') {
            format!("{}{name}", self.path)
        } else {
            format!("{}/{name}", self.path)
        }
    }

    /// A directory below; what is a link by now is not entered.
    fn enter(&self, name: &OsString, path: String) -> Result<Self, String> {
        let dir = self.dir.open_dir_nofollow(name);
        let dir = dir.map_err(|error| warning(&error, &path))?;
        let told = path.clone();
        Self::new(dir, path).map_err(|error| warning(&error, &told))
    }

    fn look_at(&self, name: &OsString, path: &str, draft: &mut Draft) {
        let is_file = |found: &Metadata| found.is_file();
        let found = match self.dir.symlink_metadata(name) {
            Ok(found) if is_file(&found) => found,
            Ok(_) => return draft.warn(format!("Changed while scanning: {path}")),
            Err(error) => return draft.warn(warning(&error, path)),
        };
        let extension = Path::new(name).extension();
        let extension = extension.map(|text| format!(".{}", text.to_string_lossy()));
        draft.add(&Found {
            path,
            size: found.len(),
            modified: modified(found.modified().map(cap_std::time::SystemTime::into_std)),
            extension: extension.as_deref().unwrap_or_default(),
        });
    }
}

fn warning(error: &io::Error, path: &str) -> String {
    let what = match error.kind() {
        io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        io::ErrorKind::NotFound => "Gone while scanning".to_owned(),
        // A directory that is a link, or a file, by now.
        io::ErrorKind::NotADirectory => "Changed while scanning".to_owned(),
        _ if error.raw_os_error() == Some(libc::ELOOP) => "Changed while scanning".to_owned(),
        other => other.to_string(),
    };
    format!("{what}: {path}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::super::place;
    use super::*;

    const BOUNDS: Bounds = Bounds {
        entries: 100,
        bytes: 1 << 20,
        warnings: 10,
    };

    /// How often a directory is swapped for a link while it is scanned.
    const SWAPS: usize = 10_000;

    fn listed(root: &Path, path: &str, depth: Depth) -> Option<serde_json::Value> {
        let dir = place::open(&[root.to_owned()], path).ok()?;
        let report = walk(dir, path, depth, BOUNDS, &Told::default()).ok()??;
        Some(serde_json::from_slice(&report.whole()).unwrap())
    }

    fn paths(root: &Path, report: &serde_json::Value) -> Vec<String> {
        let root = format!("{}/", root.display());
        let files = report["files"].as_array().unwrap().iter();
        let path = |file: &serde_json::Value| file["path"].as_str().unwrap().replace(&root, "");
        files.map(path).collect()
    }

    #[test]
    fn a_tree_is_walked_in_order_and_links_are_warnings() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("b/c")).unwrap();
        for (path, text) in [
            ("a.txt", "aa"),
            ("b/c/d", ""),
            ("b/\u{e9}.tar.gz", "xyz"),
            ("z", ""),
        ] {
            fs::write(at(path), text).unwrap();
        }
        symlink(outside.path(), at("link")).unwrap();
        symlink(at("a.txt"), at("b/inner")).unwrap();
        let path = root.path().to_str().unwrap();
        let report = listed(root.path(), path, Depth::Levels(8)).unwrap();
        assert_eq!(
            paths(root.path(), &report),
            ["a.txt", "b/c/d", "b/\u{e9}.tar.gz", "z"]
        );
        assert_eq!(
            (&report["count"], &report["total_size"]),
            (&4.into(), &5.into())
        );
        assert_eq!(report["files"][2]["extension"], ".gz");
        assert_eq!(report["files"][1]["extension"], "");
        assert_eq!(report["warnings"].as_array().unwrap().len(), 2, "{report}");
        let flat = listed(root.path(), path, Depth::Flat).unwrap();
        assert_eq!(paths(root.path(), &flat), ["a.txt", "z"]);
        let shallow = listed(root.path(), path, Depth::Levels(2)).unwrap();
        assert!(
            shallow["warnings"].to_string().contains("Too deep"),
            "{shallow}"
        );
        for inner in ["link", "link/secret", "a.txt", "none"] {
            let path = format!("{path}/{inner}");
            assert!(listed(root.path(), &path, Depth::Flat).is_none(), "{inner}");
        }
    }

    #[test]
    fn a_directory_that_is_swapped_for_a_link_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir(at("swapped")).unwrap();
        fs::write(at("swapped/file"), "x").unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let swapping = {
            let (is_done, link) = (Arc::clone(&is_done), outside.path().to_owned());
            let (dir, parked) = (at("swapped"), at("parked"));
            std::thread::spawn(move || {
                for _ in 0..SWAPS {
                    fs::rename(&dir, &parked).unwrap();
                    symlink(&link, &dir).unwrap();
                    fs::remove_file(&dir).unwrap();
                    fs::rename(&parked, &dir).unwrap();
                }
                is_done.store(true, Ordering::Relaxed);
            })
        };
        let (above, below) = (
            at("").display().to_string(),
            at("swapped").display().to_string(),
        );
        let (mut scans, mut seen) = (0, 0);
        while !is_done.load(Ordering::Relaxed) {
            for path in [&above, &below] {
                if let Some(report) = listed(root.path(), path, Depth::Levels(8)) {
                    let paths = paths(root.path(), &report);
                    assert!(paths.iter().all(|path| path.ends_with("file")), "{paths:?}");
                    seen += paths.len();
                }
                scans += 1;
            }
        }
        swapping.join().unwrap();
        assert!(scans > 100 && seen > 0, "{scans} scans saw {seen} files");
    }
}
