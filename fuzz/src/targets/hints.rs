//! What edges tell shields: a message that is read is written again as it was meant.

use headwater_proto::hints;

/// Good ones, and bad.
pub(crate) const SEEDS: &[&str] = &[
    "headwater-hints 1\n//video.example/film/v2/17.m4s k=12 t=2500-8000\n\
     //video.example/film/all.mp4 k=1 b=1048576 n=all.mp4 r=2097152-3145727\n",
    "headwater-hints 1\n//h/a k=3 p=4100 later=1\n",
    "headwater-hints 1\n//h/a k=4294967295 n= n=../x n=y r=0-\n",
    "headwater-hints 2\n//h/a k=-1\n",
];

/// Reads the input as a message.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(hints) = hints::read(text) else { return };
    assert!(hints.len() <= hints::MAX_HINTS);
    let (again, held) = hints::write(&hints);
    assert!(again.len() <= hints::MAX_MESSAGE);
    assert_eq!(hints::read(&again).as_deref(), Ok(&hints[..held]));
}
