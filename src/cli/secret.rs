//! Secrets that a configuration or a command line names and does not hold: in files, or in variables
//! of the environment, without space around them.

use std::path::Path;

use super::Error;

/// The secret of a file or of a variable; `None` where neither is named. The file counts first.
///
/// # Errors
/// Where it cannot be read, or is empty.
pub(super) fn read(file: Option<&Path>, variable: Option<&str>) -> Result<Option<Vec<u8>>, Error> {
    let (bytes, of) = match (file, variable) {
        (Some(path), _) => {
            let bytes = std::fs::read(path);
            let bytes = bytes.map_err(|error| format!("cannot use {}: {error}", path.display()))?;
            (bytes, format!("the file {}", path.display()))
        }
        (None, Some(name)) => {
            let value = std::env::var_os(name);
            let value = value.ok_or_else(|| format!("there is no variable {name}"))?;
            (value.into_encoded_bytes(), format!("the variable {name}"))
        }
        (None, None) => return Ok(None),
    };
    match bytes.trim_ascii() {
        [] => Err(format!("{of} holds no secret").into()),
        secret => Ok(Some(secret.to_vec())),
    }
}
