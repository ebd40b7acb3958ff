//! Which files of a folder are worked through.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// Most files of a session.
pub(super) const FILES_MAX: usize = 500;

/// Largest file that is read, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 8 << 20;

/// Most entries that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// Folders that hold nothing a person wrote.
const LEFT_OUT: [&str; 2] = ["target", "node_modules"];

/// The files of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Those that are worked through, in order.
    pub(super) paths: Vec<PathBuf>,
    /// How many are larger than 8 MiB or cannot be opened.
    pub(super) skipped: usize,
    /// Whether there are more than are worked through.
    pub(super) is_cut: bool,
}

impl Files {
    /// Walks a folder. Hidden entries, `target` and `node_modules` are left out; symbolic links
    /// are not followed.
    pub(super) fn find(root: &Path) -> Self {
        let mut files = Self::default();
        let walk = WalkDir::new(root).sort_by_file_name().into_iter();
        for (seen, entry) in walk.filter_entry(is_wanted).enumerate() {
            if seen >= ENTRIES_MAX || files.paths.len() == FILES_MAX {
                files.is_cut = true;
                break;
            }
            let Ok(entry) = entry else {
                files.skipped += 1;
                continue;
            };
            if !entry.file_type().is_file() {
                continue;
            }
            if entry
                .metadata()
                .is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX)
            {
                files.paths.push(entry.into_path());
            } else {
                files.skipped += 1;
            }
        }
        files
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let noun = if self.paths.len() == 1 {
            "file"
        } else {
            "files"
        };
        let which = if self.is_cut { "the first" } else { "the" };
        let text = format!("{which} {} {noun}", self.paths.len());
        if self.skipped == 0 {
            return text;
        }
        format!(
            "{text} ({} skipped: unreadable or over 8 MiB)",
            self.skipped
        )
    }
}

fn is_wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_left_out = entry.file_type().is_dir() && LEFT_OUT.contains(&name.as_ref());
    entry.depth() == 0 || !(name.starts_with('.') || is_left_out)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("tidings-files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        root
    }

    #[test]
    fn what_a_person_did_not_write_is_left_out() {
        let root = folder("wanted");
        for path in [
            "b.txt",
            "a/c.txt",
            ".git/x",
            "target/y",
            "a/node_modules/z",
            ".hidden",
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::File::create(root.join("large"))
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        let files = Files::find(&root);
        assert_eq!(files.paths, [root.join("a/c.txt"), root.join("b.txt")]);
        assert_eq!((files.skipped, files.is_cut), (1, false));
        assert!(
            files.told().starts_with("the 2 files (1 skipped"),
            "{}",
            files.told()
        );
    }

    #[test]
    fn a_large_folder_is_cut() {
        let root = folder("cut");
        for number in 0..=FILES_MAX {
            fs::write(root.join(number.to_string()), "").unwrap();
        }
        let files = Files::find(&root);
        assert_eq!((files.paths.len(), files.is_cut), (FILES_MAX, true));
    }
}
