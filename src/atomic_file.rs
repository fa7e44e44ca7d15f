//! Writing a file so that it is never seen half done: readers find the old contents or the new ones.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// Puts `contents` at `path`, replacing what was there at one moment.
///
/// The bytes go to a hidden file in the same directory, are flushed to the disk, and the file is renamed.
/// A file that was there keeps its permissions and, if it is a symbolic link, stays one; a new file gets
/// those of any new file. What is not a regular file, such as `/dev/stdout`, is written to directly.
///
/// Errors: as the system says; the old contents are untouched then.
pub(crate) fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (target, old_permissions) = match fs::canonicalize(path) {
        Ok(target) => {
            let metadata = fs::metadata(&target)?;
            if !metadata.is_file() {
                return fs::write(path, contents);
            }
            (target, Some(metadata.permissions()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_path_buf(), None),
        Err(error) => return Err(error),
    };
    // Renaming over it would succeed: that takes only the right to write to the directory.
    if old_permissions.as_ref().is_some_and(Permissions::readonly) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    };
    let mut file = create_beside(&directory)?;
    file.write_all(contents)?;
    if let Some(permissions) = old_permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(&target)?;
    sync_directory(&directory)
}

fn create_beside(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".kiln-");
    if let Some(permissions) = permissions_of_new_files() {
        builder.permissions(permissions);
    }
    builder.tempfile_in(directory)
}

/// Read and write for all, from which the system takes what the user's mask forbids; a temporary file
/// would be its owner's alone otherwise, and stay so after it is renamed.
#[cfg(unix)]
fn permissions_of_new_files() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn permissions_of_new_files() -> Option<Permissions> {
    None
}

/// Makes a renaming in this directory survive a loss of power, where directories can be flushed.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        for contents in ["one", "another, longer", ""] {
            write(&path, contents.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
        assert_eq!(names(directory.path()), ["a.txt"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write(&directory.path().join("no/such/directory"), b"x").is_err());
        assert!(write(directory.path(), b"x").is_err());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn permissions_are_those_of_the_old_file_or_of_any_new_one() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (usual, path) = (directory.path().join("usual"), directory.path().join("a.txt"));
        fs::write(&usual, "x").unwrap();
        write(&path, b"x").unwrap();
        assert_eq!(mode(&path), mode(&usual));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, b"y").unwrap();
        assert_eq!(mode(&path), 0o640);
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        let error = write(&path, b"z").unwrap_err();
        assert_eq!(error.to_string(), "the file is read-only");
        assert_eq!(fs::read(&path).unwrap(), b"y");
    }

    #[test]
    #[cfg(unix)]
    fn a_symbolic_link_stays_one_and_a_device_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
