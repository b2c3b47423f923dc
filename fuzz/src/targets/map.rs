//! What passes through a shield: manifests of HLS and DASH and the indexes of files, one after the other
//! into one segment map. Whatever they are, the map keeps its bounds, and can be asked all there is to ask.
//!
//! An input is lines of manifests between lines of `%`; one that begins with `x` is an index in
//! hexadecimal, of the file whose index is wanted first.

use headwater_net::Timestamp;
use headwater_origin::map::{Limits, MAX_URL, Position, SegmentMap, Url};

/// Good ones, and bad.
pub(crate) const SEEDS: &[&str] = &[
    "#EXTM3U\n#EXT-X-DEFINE:NAME=\"p\",VALUE=\"v\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"1.m3u8\"\n\
     #EXT-X-STREAM-INF:BANDWIDTH=800000,AUDIO=\"a\"\n2.m3u8\n\
     \n%\n#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DEFINE:IMPORT=\"p\"\n#EXT-X-MEDIA-SEQUENCE:7\n\
     #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-MAP:URI=\"{$p}/i\",BYTERANGE=\"9@0\"\n\
     #EXTINF:4,\n{$p}/7.ts\n#EXTINF:4,\n#EXT-X-GAP\n{$p}/8.ts\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.0\"\n\
     \n%\n#EXTM3U\n#EXTINF:4.0,a,b\n#EXT-X-BYTERANGE:5@9\nall\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\nall\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"q\"\n#EXTINF:4,\n//e/{$q}\n%\n#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:x,\n1\n",
    "<MPD type='dynamic' availabilityStartTime='2024-02-29T12:00:00Z'><Period start='PT0S'><AdaptationSet>\
     <SegmentTemplate duration='4' media='$Number$.m4s'/><Representation id='v'/></AdaptationSet></Period></MPD>\
     \n%\n<MPD mediaPresentationDuration='PT99H' minimumUpdatePeriod='PT1S'><Period duration='PT9S'><AdaptationSet>\
     <SegmentTemplate timescale='10' startNumber='18446744073709551610' media='$Number%09d$-$Time$-$RepresentationID$'>\
     <SegmentTimeline><S t='1' d='2' r='-1'/><S d='18446744073709551615' r='9223372036854775807'/></SegmentTimeline>\
     </SegmentTemplate><Representation id='a' bandwidth='1'/></AdaptationSet></Period></MPD>",
    "<MPD mediaPresentationDuration='PT8S'><Period><AdaptationSet><Representation id='v'><BaseURL>v.mp4</BaseURL>\
     <SegmentBase indexRange='0-43'><Initialization range='0-9'/></SegmentBase></Representation></AdaptationSet></Period></MPD>\
     \n%\nx0000002c7369647800000000000000010000000a000000000000000000000001000000640000002890000000",
    "<MPD><Period><AdaptationSet><SegmentList duration='2'><Initialization sourceURL='i'/><SegmentURL media='a'/>\
     <SegmentURL mediaRange='5-9'/></SegmentList><Representation id='l'/></AdaptationSet></Period></MPD>\n%\n<!DOCTYPE x>",
];

/// Bounds that an input can reach.
const PRESENTATIONS: usize = 3;
const BYTES: usize = 64 << 10;

/// Feeds a map with the input.
pub(crate) fn run(input: &[u8]) {
    let mut limits = Limits::default();
    limits.presentations = PRESENTATIONS;
    limits.renditions = 16;
    limits.segments = 200;
    limits.presentation_bytes = BYTES / 4;
    limits.bytes = BYTES;
    let mut map = SegmentMap::new(limits);
    let at = |path: &str| Url::new("h", path);
    let now = Timestamp::from_secs(1_709_208_021);
    let Ok(text) = std::str::from_utf8(input) else { return };
    let names = ["/m?q=a%2Fb", "/1.m3u8", "/2.m3u8", "/v.mpd"];
    for (text, name) in text.split("\n%\n").zip(names.into_iter().cycle()).take(12) {
        let Some(url) = at(name) else { return };
        let learnt = if let Some(digits) = text.strip_prefix('x') {
            let Some(file) = at("/v.mp4").filter(|file| map.index_of(file).is_some()) else {
                continue;
            };
            map.learn_index(&file, &bytes(digits))
        } else {
            let dash = text.trim_start().starts_with('<');
            let kind = if dash { "application/dash+xml" } else { "audio/mpegurl" };
            map.learn(&url, Some(kind), text.as_bytes())
        };
        assert!(map.len() <= PRESENTATIONS);
        assert!(map.weight() <= 4 * BYTES, "{} bytes", map.weight());
        let Ok(Some(learnt)) = learnt else { continue };
        for rendition in 0..u32::try_from(learnt.renditions).unwrap_or(u32::MAX) {
            asked(&mut map, learnt.presentation, rendition, now);
        }
    }
}

/// Asks a map all there is to ask of a rendition.
fn asked(
    map: &mut SegmentMap,
    presentation: headwater_origin::map::PresentationId,
    rendition: u32,
    now: Timestamp,
) {
    let (init, first) = map.head(presentation, rendition, now);
    let blocking = map.blocking(presentation, rendition);
    for url in init.iter().chain(&first).map(|target| &target.url).chain(&blocking) {
        let is_clean = url.as_str().bytes().all(|byte| byte.is_ascii_graphic());
        assert!(url.as_str().len() <= MAX_URL && is_clean, "{url}");
        url.to_uri();
    }
    map.ladder(presentation, rendition);
    map.neighbours(presentation, rendition);
    let Some(first) = first else { return };
    let begins = first.range.as_ref().map(|range| range.start);
    let Some(at) = map.lookup(&first.url, begins) else { return };
    let Position { presentation, rendition, .. } = at;
    map.is_at_live_edge(&first.url, now);
    map.time(at);
    for next in map.next(at, 5) {
        let within = next.range.as_ref().map(|range| range.start);
        map.lookup(&next.url, within);
        map.manifest(&next.url);
    }
    for other in 0..=rendition {
        map.beside(at, other);
        map.playlist(presentation, other);
    }
}

/// Bytes from hexadecimal digits; what is none ends them.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2).map_while(|pair| std::str::from_utf8(pair).ok());
    pairs.map_while(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
