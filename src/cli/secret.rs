//! Secrets that a configuration or a command line names and does not hold: in files, or in variables
//! of the environment, without space around them.

use std::path::Path;

use super::Error;
use super::named::{self, Named};

/// The secret of a file or of a variable; `None` where neither is named. The file counts first.
///
/// # Errors
/// A [`Named`] where it cannot be read, or is empty.
pub(super) fn read(file: Option<&Path>, variable: Option<&str>) -> Result<Option<Vec<u8>>, Error> {
    let (bytes, value, of) = match (file, variable) {
        (Some(path), _) => (named::read(path)?, path.display().to_string(), "file"),
        (None, Some(name)) => {
            let value = std::env::var_os(name);
            let none = || Named::new(name, format_args!("there is no variable {name}"));
            (value.ok_or_else(none)?.into_encoded_bytes(), name.to_owned(), "variable")
        }
        (None, None) => return Ok(None),
    };
    match bytes.trim_ascii() {
        [] => {
            let says = format!("the {of} {value} holds no secret");
            Err(Named::new(value, says).into())
        }
        secret => Ok(Some(secret.to_vec())),
    }
}
