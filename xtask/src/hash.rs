//! A stamp over files: FNV-1a, which tells changed from unchanged and is the same on every
//! machine. It is no defence against anybody.

use std::fs;
use std::path::Path;

use crate::cli::{Failure, Outcome};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A running hash.
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const fn new() -> Self {
        Self(OFFSET)
    }

    /// Adds one field; its length is hashed too, so that fields cannot run into each other.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// Adds every file below `folder`, by name and content, in order of name; entries whose own
    /// name is in `except` are left out.
    pub(crate) fn folder(&mut self, folder: &Path, except: &[&str]) -> Outcome {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| Failure::file("list", folder, &error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if except.contains(&name.as_ref()) {
                continue;
            }
            self.field(name.as_bytes());
            if path.is_dir() {
                self.folder(&path, except)?;
            } else {
                let content =
                    fs::read(&path).map_err(|error| Failure::file("read", &path, &error))?;
                self.field(&content);
            }
        }
        Ok(())
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn finish(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> String {
        let mut stamp = Stamp::new();
        for field in fields {
            stamp.field(field.as_bytes());
        }
        stamp.finish()
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    }
}
