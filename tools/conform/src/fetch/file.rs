//! Presentations on the disk: `file:` URLs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::{Answer, Fetch, FetchError, Url};

/// Reads files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Fetch for Files {
    fn get(
        &mut self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        let path =
            url.to_file_path().map_err(|()| FetchError::Unreachable("not a path".to_owned()))?;
        let failed = |error: std::io::Error| FetchError::Unreachable(error.to_string());
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let wanted = range.clone().unwrap_or(0..size);
        if wanted.start > wanted.end || wanted.end > size {
            let what = format!("{}-{} of {size} bytes", wanted.start, wanted.end.saturating_sub(1));
            return Err(FetchError::Range(what));
        }
        let len = wanted.end - wanted.start;
        if len > limit as u64 {
            return Err(FetchError::TooLarge(limit));
        }
        file.seek(SeekFrom::Start(wanted.start)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes).map_err(failed)?;
        let total = range.is_some().then_some(size);
        Ok(Answer { bytes: bytes.into(), total, ..Answer::default() })
    }
}
