//! Whether files can be written, asked before hours go into what shall be in them.

use super::error::CliError;
use std::fs;
use std::io;
use std::path::Path;

/// Errors: the file that an option names cannot be written.
pub(crate) fn check_writable(option: &str, path: &Path) -> Result<(), CliError> {
    let is_there = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let problem = format!("is a directory; `{option}` takes the name of a file");
            return Err(CliError::file(path, problem));
        }
        Ok(found) if found.permissions().readonly() => {
            return Err(CliError::file(path, format!("is read-only; name another file after `{option}`")));
        }
        Ok(found) => found.is_file(),
        Err(_) => true,
    };
    // What is no ordinary file, such as `/dev/stdout`, is written to where it is; others are made anew beside the old one.
    if is_there { check_directory(option, path) } else { Ok(()) }
}

/// Errors: no file can be made in the directory of this path.
fn check_directory(option: &str, path: &Path) -> Result<(), CliError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let shown = directory.display();
    if !directory.is_dir() {
        let problem =
            format!("there is no directory `{shown}`: make it, or name another file after `{option}`");
        return Err(CliError::file(path, problem));
    }
    tempfile::tempfile_in(directory).map(drop).map_err(|error| {
        let problem = format!("no file can be made in `{shown}`: {}", reason(&error));
        CliError::file(path, problem)
    })
}

/// Errors: the file that an option names is not there, or is no file.
pub(crate) fn check_readable(option: &str, path: &Path) -> Result<(), CliError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(CliError::file(path, format!("is a directory; `{option}` takes the name of a file")))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(CliError::file(path, reason(&error))),
    }
}

/// What the system says, without its numbers and the names of temporary files.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        io::ErrorKind::InvalidData => "is no text (UTF-8)".to_string(),
        _ => error.to_string(),
    }
}
