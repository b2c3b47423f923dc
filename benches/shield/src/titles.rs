//! What the origin holds: titles as HLS or as DASH, whose manifests are texts like any packager's.
//! Of segments there are lengths alone.

use std::fmt::Write as _;

use headwater_bench_traces::traffic::{Object, Part, Rung, SEGMENT_MS, segments};

/// Every other title is DASH, the others are HLS.
pub const fn is_dash(title: u32) -> bool {
    title % 2 == 1
}

/// Where an object lies.
pub fn path(object: &Object) -> String {
    match object {
        Object { title, rung: Rung::ALL, part: Part::Playlist } if is_dash(*title) => {
            format!("/title/{title}/manifest.mpd")
        }
        _ => object.path(),
    }
}

/// What lies there.
pub fn object(path: &str) -> Option<Object> {
    let (title, rest) = path.strip_prefix("/title/")?.split_once('/')?;
    let title = title.parse().ok()?;
    if rest == "manifest.mpd" {
        return Some(Object { title, rung: Rung::ALL, part: Part::Playlist });
    }
    let (rung, file) = rest.split_once('/')?;
    let rung: u8 = rung.parse().ok()?;
    let named = rungs().chain([Rung::ALL, Rung::SOUND]).find(|known| known.number() == rung)?;
    let part = match file {
        "index.m3u8" => Part::Playlist,
        "init.mp4" => Part::Init,
        _ => Part::Segment(file.strip_suffix(".m4s")?.parse().ok()?),
    };
    Some(Object { title, rung: named, part })
}

/// The renditions of video, the lowest first.
pub fn rungs() -> impl Iterator<Item = Rung> {
    (0..=Rung::HIGHEST.number()).map(Rung::video)
}

/// The text of a manifest, and its type.
pub fn manifest(seed: u64, title: u32, rung: Rung) -> (String, &'static str) {
    let count = segments(seed, title);
    if is_dash(title) {
        return (mpd(count), "application/dash+xml");
    }
    let text = if rung == Rung::ALL { multivariant(title) } else { media(count) };
    (text, "application/vnd.apple.mpegurl")
}

fn multivariant(title: u32) -> String {
    let sound = Object { title, rung: Rung::SOUND, part: Part::Playlist }.path();
    let mut text = format!(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",DEFAULT=YES,URI=\"{sound}\"\n"
    );
    for rung in rungs() {
        let playlist = Object { title, rung, part: Part::Playlist }.path();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AUDIO=\"a\"\n{playlist}",
            rung.rate() + Rung::SOUND.rate()
        );
    }
    text
}

fn media(count: u32) -> String {
    let seconds = SEGMENT_MS / 1000;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-MAP:URI=\"init.mp4\"\n"
    );
    for number in 0..count {
        let _ = writeln!(text, "#EXTINF:{seconds},\n{number}.m4s");
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

fn mpd(count: u32) -> String {
    let set = |kind: &str, representations: &str| {
        format!(
            "<AdaptationSet contentType=\"{kind}\"><SegmentTemplate timescale=\"1000\" \
             startNumber=\"0\" media=\"$RepresentationID$/$Number$.m4s\" \
             initialization=\"$RepresentationID$/init.mp4\"><SegmentTimeline>\
             <S t=\"0\" d=\"{SEGMENT_MS}\" r=\"{}\"/></SegmentTimeline></SegmentTemplate>\
             {representations}</AdaptationSet>",
            count.saturating_sub(1)
        )
    };
    let of = |rung: Rung| {
        format!("<Representation id=\"{}\" bandwidth=\"{}\"/>", rung.number(), rung.rate())
    };
    let video: String = rungs().map(of).collect();
    format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT{}S\"><Period>{}{}</Period></MPD>",
        u64::from(count) * SEGMENT_MS / 1000,
        set("video", &video),
        set("audio", &of(Rung::SOUND))
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use headwater_origin::map::{Limits, SegmentMap, Url};

    #[test]
    fn what_is_named_is_found_again() {
        for title in [4, 5] {
            for rung in rungs().chain([Rung::SOUND]) {
                for part in [Part::Playlist, Part::Init, Part::Segment(7)] {
                    let named = Object { title, rung, part };
                    assert_eq!(object(&path(&named)), Some(named));
                }
            }
            let all = Object { title, rung: Rung::ALL, part: Part::Playlist };
            assert_eq!(object(&path(&all)), Some(all));
        }
        assert_eq!(object("/title/4/0/x.m4s"), None);
    }

    #[test]
    fn the_shields_map_reads_the_manifests() {
        let mut map = SegmentMap::new(Limits::default());
        for title in [4, 5] {
            let lists: &[Rung] =
                if is_dash(title) { &[Rung::ALL] } else { &[Rung::ALL, Rung::HIGHEST] };
            for &rung in lists {
                let (text, kind) = manifest(1, title, rung);
                let at = path(&Object { title, rung, part: Part::Playlist });
                let url = Url::new("h", &at).unwrap();
                map.learn(&url, Some(kind), text.as_bytes()).unwrap().unwrap();
            }
            let seventh = Object { title, rung: Rung::HIGHEST, part: Part::Segment(7) };
            let url = Url::new("h", &path(&seventh)).unwrap();
            let found = map.lookup(&url, None).unwrap();
            assert_eq!(map.number(found), Some(7));
            assert!(map.neighbours(found.presentation, found.rendition).lower.is_some());
        }
    }
}
