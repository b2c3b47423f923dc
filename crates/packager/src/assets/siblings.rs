//! Which file names beside each other are renditions of one asset: a conservative rule.
//!
//! A stem ends in marks, each after one of `_ - . @` or a space. A *rendition mark* is a height
//! (`1080p`, `720p60`), a size (`1920x1080`), a bit rate (`2500k`, `800kbps`, `5Mbps`) or one of
//! `sd hd fhd uhd 2k 4k 8k`; between them may stand the name of a codec (`h264`, `hevc`, `av1` …).
//! What is left of two or more stems, where it is the same, is the name of their asset. `clip_5m`
//! and `clip_10m` are no such pair (minutes?), nor `race_10k` and `race_20k` (kilometres?).

/// The stem without its marks; `None` where it has no rendition mark, or is nothing else.
pub(super) fn base(stem: &str) -> Option<&str> {
    let mut rest = stem;
    let mut is_rendition = false;
    for _ in 0..MOST_MARKS {
        let Some((before, mark)) = rest.rsplit_once(SEPARATORS) else { break };
        let mark = mark.to_ascii_lowercase();
        if is_rendition_mark(&mark) {
            is_rendition = true;
        } else if !CODECS.contains(&mark.as_str()) {
            break;
        }
        rest = before.trim_end_matches(SEPARATORS);
    }
    (is_rendition && !rest.is_empty()).then_some(rest)
}

const SEPARATORS: [char; 5] = ['_', '-', '.', '@', ' '];

const MOST_MARKS: usize = 4;

const WORDS: [&str; 7] = ["sd", "hd", "fhd", "uhd", "2k", "4k", "8k"];

const CODECS: [&str; 9] = ["h264", "h265", "x264", "x265", "avc", "hevc", "av1", "vp9", "aac"];

fn is_rendition_mark(mark: &str) -> bool {
    WORDS.contains(&mark) || is_height(mark) || is_size(mark) || is_bit_rate(mark)
}

/// `720p`, `1080p60`.
fn is_height(mark: &str) -> bool {
    mark.split_once('p').is_some_and(|(height, rate)| {
        is_number(height, 3..=4) && (rate.is_empty() || is_number(rate, 2..=3))
    })
}

/// `1280x720`.
fn is_size(mark: &str) -> bool {
    let parts = mark.split_once('x');
    parts.is_some_and(|(width, height)| is_number(width, 3..=5) && is_number(height, 3..=5))
}

/// `2500k`; shorter numbers and millions only with the unit written out: `64kbps`, `5Mbit`.
fn is_bit_rate(mark: &str) -> bool {
    let digits = mark.len() - mark.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = mark.split_at(digits);
    match unit {
        "k" => is_number(number, 3..=6),
        "kb" | "kbps" | "kbit" | "mb" | "mbps" | "mbit" => is_number(number, 1..=6),
        _ => false,
    }
}

fn is_number(text: &str, digits: std::ops::RangeInclusive<usize>) -> bool {
    digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendition_marks_come_off() {
        for (stem, expected) in [
            ("movie_1080p", "movie"),
            ("movie-720p60", "movie"),
            ("movie.480p", "movie"),
            ("movie_2500k", "movie"),
            ("movie@5000k", "movie"),
            ("movie_1280x720_800kbps", "movie"),
            ("movie_1080p_h264_5000k", "movie"),
            ("A Film - 4K", "A Film"),
            ("a_b_720P", "a_b"),
            ("part_1_720p", "part_1"),
        ] {
            assert_eq!(base(stem), Some(expected), "{stem}");
        }
    }

    #[test]
    fn other_names_stay_whole() {
        for stem in [
            "movie",
            "1080p",
            "_720p",
            "movie_2024",
            "clip_5m",
            "race_10k",
            "movie_h264",
            "movie_p",
            "movie_px",
            "movie_x264",
            "movie_12",
            "movie_720p_final",
            "movie_99999p",
            "s01e02",
            "movie_720p_1080",
            "",
        ] {
            assert_eq!(base(stem), None, "{stem}");
        }
    }
}
