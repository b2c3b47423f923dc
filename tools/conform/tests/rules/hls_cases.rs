//! A breach of each rule about HLS.

use crate::Case;
use crate::worlds::{BASE, World, hdr, hls, live, transport};

fn remove(world: &mut World, name: &str) {
    world.memory.remove(&format!("{BASE}{name}"));
}

pub const CASES: &[Case] = &[
    ("hls-utf8", hls, |w| w.edit("v1.m3u8", "#EXTM3U", "\u{feff}#EXTM3U")),
    ("hls-utf8", hls, |w| w.edit("v1.m3u8", "6.000,", "6.000,\u{1}")),
    ("hls-first-line", hls, |w| w.edit("a1.m3u8", "#EXTM3U", "#EXTM3U8")),
    ("hls-one-kind", hls, |w| w.before("main.m3u8", "#EXT-X-MEDIA:", "#EXT-X-TARGETDURATION:6")),
    ("hls-tag-once", hls, |w| w.before("v1.m3u8", "#EXT-X-MAP", "#EXT-X-TARGETDURATION:6")),
    ("hls-attribute-grammar", hls, |w| w.root("SCORE=1,", "SCORE=1, ")),
    ("hls-attribute-grammar", hls, |w| w.root("NAME=\"English\"", "name=\"English\"")),
    ("hls-attribute-once", hls, |w| w.root("SCORE=1,", "SCORE=1,SCORE=1,")),
    ("hls-attribute-type", hls, |w| w.root("RESOLUTION=320x180", "RESOLUTION=\"320x180\"")),
    ("hls-attribute-type", hls, |w| w.root("AUDIO=\"one\"", "AUDIO=one")),
    ("hls-attribute-type", hls, |w| w.edit("v1.m3u8", "DURATION:6\n", "DURATION:6.0\n")),
    ("hls-uri-lines", hls, |w| w.edit("v1.m3u8", "v1/2.m4s", "v1/2 .m4s")),
    ("hls-variables", hls, |w| w.root("{$dir}", "{$path}")),
    ("hls-define", hls, |w| w.root(",VALUE=\"v1\"", "")),
    ("hls-define", hls, |w| {
        w.before("main.m3u8", "#EXT-X-SESSION", "#EXT-X-DEFINE:NAME=\"dir\",VALUE=\"v1\"")
    }),
    ("hls-start", hls, |w| w.root("TIME-OFFSET=0", "PRECISE=YES")),
    ("hls-version", hls, |w| w.edit("v1.m3u8", "VERSION:6", "VERSION:5")),
    ("hls-version", hls, |w| w.edit("a2.m3u8", "#EXT-X-VERSION:6\n", "")),
    ("hls-version", hls, |w| w.root("VERSION:12", "VERSION:7")),
    ("hls-version-known", hls, |w| w.root("VERSION:12", "VERSION:77")),
    ("hls-removed", hls, |w| w.root("BANDWIDTH=", "PROGRAM-ID=1,BANDWIDTH=")),
    ("hls-removed", hls, |w| {
        w.edit("v1.m3u8", "VERSION:6\n", "VERSION:7\n#EXT-X-ALLOW-CACHE:YES\n")
    }),
    ("hls-bandwidth", hls, |w| w.root("INF:BANDWIDTH=", "INF:WIDTH=")),
    ("hls-stream-uri", hls, |w| w.root("{$dir}.m3u8\n", "")),
    ("hls-average-below-peak", hls, |w| w.root("AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=9")),
    ("hls-groups-exist", hls, |w| w.root(",AUDIO=\"two\"", ",AUDIO=\"three\"")),
    ("hls-captions-none", hls, |w| {
        w.root(
            "SCORE=2,AUDIO=\"two\",SUBTITLES=\"text\",CLOSED-CAPTIONS=NONE",
            "SCORE=2,AUDIO=\"two\"",
        )
    }),
    ("hls-video-range", hls, |w| w.root("VIDEO-RANGE=SDR,SCORE", "VIDEO-RANGE=HDR,SCORE")),
    ("hls-supplemental-codecs", hls, |w| w.root("dvh1.08.02/db1p", "dvh1.08.02")),
    ("hls-session-data", hls, |w| w.root(",VALUE=\"A\"", ",VALUE=\"A\",URI=\"a.json\"")),
    ("hls-session-data", hls, |w| {
        w.before(
            "main.m3u8",
            "#EXT-X-CONTENT",
            "#EXT-X-SESSION-DATA:DATA-ID=\"com.example\",VALUE=\"B\"",
        )
    }),
    ("hls-steering", hls, |w| w.root("SERVER-URI=\"steer.json\",", "")),
    ("apple-codecs", hls, |w| w.root("CODECS=\"avc1.64001f,mp4a.40.2\",", "")),
    ("apple-resolution", hls, |w| w.root("RESOLUTION=640x360,", "")),
    ("apple-frame-rate", hls, |w| w.root("FRAME-RATE=25.000,", "")),
    ("apple-average-bandwidth", hls, |w| w.root(",AVERAGE-BANDWIDTH=", ",X-AVERAGE=")),
    ("apple-video-range", hdr, |w| w.root("VIDEO-RANGE=PQ,SCORE=2", "SCORE=2")),
    ("apple-score", hls, |w| w.root("SCORE=2,", "")),
    ("apple-several-rates", hls, |w| {
        let audio = w.rate("a1");
        let (one, two) = (w.rate("v1") + audio, w.rate("v2") + audio);
        w.root(&format!("BANDWIDTH={two}"), &format!("BANDWIDTH={one}"));
    }),
    ("apple-parameter-sets", hls, |w| w.root("avc1.64001f,mp4a", "avc3.64001f,mp4a")),
    ("hls-media-attributes", hls, |w| w.root("NAME=\"English\",", "")),
    ("hls-media-attributes", hls, |w| w.root("TYPE=AUDIO", "TYPE=CLOSED-CAPTIONS")),
    ("hls-media-attributes", hls, |w| w.root("CHANNELS=\"2\"", "CHANNELS=\"2\",FORCED=NO")),
    ("hls-media-name", hls, |w| w.root("Described", "English")),
    ("hls-media-default", hls, |w| w.root("DEFAULT=NO", "DEFAULT=YES")),
    ("hls-media-autoselect", hls, |w| w.root("AUTOSELECT=YES", "AUTOSELECT=NO")),
    ("hls-media-distinct", hls, |w| {
        w.root("CHARACTERISTICS=\"public.accessibility.describes-video\",", "")
    }),
    ("hls-media-channels", hls, |w| w.root("CHANNELS=\"2\"", "CHANNELS=\"stereo\"")),
    ("hls-media-language", hls, |w| w.root("LANGUAGE=\"en\"", "LANGUAGE=\"en_US\"")),
    ("hls-media-groups-alike", hls, |w| {
        w.root("GROUP-ID=\"two\",LANGUAGE=\"en\"", "GROUP-ID=\"two\",LANGUAGE=\"de\"")
    }),
    ("hls-media-used", hls, |w| w.root(",AUDIO=\"two\"", ",AUDIO=\"one\"")),
    ("apple-language", hls, |w| w.root("LANGUAGE=\"en\",", "")),
    ("apple-described-video", hls, |w| w.root("AUTOSELECT=YES", "AUTOSELECT=NO")),
    ("hls-iframe-attributes", hls, |w| w.root("VIDEO-RANGE=SDR,URI=", "FRAME-RATE=1,URI=")),
    ("hls-iframes-only", hls, |w| w.edit("v1i.m3u8", "#EXT-X-I-FRAMES-ONLY\n", "")),
    ("hls-iframe-decodable", hls, |w| w.segment("v1i", 2, |s| s.samples.push((512, 100, true)))),
    ("hls-iframe-decodable", hls, |w| w.segment("v1i", 2, |s| s.nal = Some(0x41))),
    ("apple-iframes", hls, |w| w.root("#EXT-X-I-FRAME-STREAM-INF", "## ")),
    ("apple-iframe-codecs", hls, |w| w.root("CODECS=\"avc1.64001f\",", "")),
    ("apple-iframe-resolution", hls, |w| {
        w.root("CODECS=\"avc1.64001f\",RESOLUTION=320x180,", "CODECS=\"avc1.64001f\",")
    }),
    ("hls-target-duration", hls, |w| w.edit("v1.m3u8", "DURATION:6\n", "DURATION:5\n")),
    ("hls-target-duration", hls, |w| w.edit("v1.m3u8", "#EXT-X-TARGETDURATION:6\n", "")),
    ("hls-target-same", hls, |w| w.edit("a1.m3u8", "DURATION:6\n", "DURATION:7\n")),
    ("hls-extinf", hls, |w| w.edit("v1.m3u8", "#EXTINF:6.000,\nv1/2", "#EXTINF:6.000\nv1/2")),
    ("hls-extinf", hls, |w| w.edit("v1.m3u8", "#EXTINF:6.000,\nv1/2", "v1/2")),
    ("hls-no-segments", hls, |w| w.edit("v1.m3u8", "v1/6.m4s\n", "")),
    ("hls-media-sequence-first", hls, |w| {
        w.edit("v1.m3u8", "#EXT-X-MEDIA-SEQUENCE:1\n", "");
        w.edit("v1.m3u8", "v1/1.m4s", "v1/1.m4s\n#EXT-X-MEDIA-SEQUENCE:1");
    }),
    ("hls-playlist-type", hls, |w| w.edit("v1.m3u8", "#EXT-X-ENDLIST\n", "")),
    ("hls-byterange", hls, |w| w.edit("a2.m3u8", "@0", "")),
    ("hls-map", hls, |w| {
        w.edit("v1.m3u8", "MAP:URI=\"v1/init.mp4\"", "MAP:URI=\"v1/init.mp4\",BYTERANGE=\"100\"")
    }),
    ("hls-key", hls, |w| w.edit("v1.m3u8", "METHOD=NONE", "METHOD=NONE,URI=\"k\"")),
    ("hls-key", hls, |w| w.edit("v1.m3u8", "METHOD=NONE", "METHOD=AES-128,URI=\"k\",IV=0x12")),
    ("hls-program-date-time", hls, |w| w.edit("v1.m3u8", "TIME:2026-01-01T", "TIME:2026-01-01 ")),
    ("hls-daterange", hls, |w| w.edit("v1.m3u8", "ID=\"a\",", "")),
    ("hls-daterange", hls, |w| {
        w.edit("v1.m3u8", "DURATION=5", "END-DATE=\"2025-01-01T00:00:00Z\"")
    }),
    ("hls-daterange", hls, |w| w.edit("v1.m3u8", "DURATION=5", "END-ON-NEXT=YES")),
    ("apple-vod-type", hls, |w| w.edit("v1.m3u8", "#EXT-X-PLAYLIST-TYPE:VOD\n", "")),
    ("apple-target-six", hls, |w| w.edit("v1.m3u8", "DURATION:6\n", "DURATION:10\n")),
    ("hls-resources", hls, |w| remove(w, "v1/3.m4s")),
    ("hls-fmp4-map", hls, |w| w.edit("v1.m3u8", "#EXT-X-MAP:URI=\"v1/init.mp4\"\n", "")),
    ("hls-media-format", hls, |w| w.put("v1/3.m4s", "video/mp4", "<html>")),
    ("hls-independent", hls, |w| w.segment("v1", 3, |s| s.samples[0].2 = false)),
    ("hls-one-audio", transport, |w| w.ts(2, |s| s.audios = 2)),
    ("hls-durations-true", hls, |w| {
        w.edit("v1.m3u8", "#EXTINF:6.000,\nv1/2", "#EXTINF:5.900,\nv1/2")
    }),
    ("hls-durations-true", transport, |w| {
        w.edit("ts.m3u8", "#EXTINF:6.000,\nts/2", "#EXTINF:5.800,\nts/2")
    }),
    ("hls-same-length", hls, |w| w.edit("a1.m3u8", "#EXTINF:6.000,\na1/6.m4s\n", "")),
    ("hls-discontinuities-alike", hls, |w| w.edit("a1.m3u8", "#EXT-X-DISCONTINUITY\n", "")),
    ("apple-boundaries", hls, |w| {
        w.edit("v2.m3u8", "#EXTINF:6.000,\nv2/2", "#EXTINF:5.500,\nv2/2");
    }),
    ("apple-video-idr", hls, |w| w.segment("v1", 3, |s| s.nal = Some(0x41))),
    ("apple-frame-rate-limit", hls, |w| w.root("FRAME-RATE=25.000", "FRAME-RATE=120.000")),
    ("apple-webvtt-map", hls, |w| w.edit("s1/1.vtt", "X-TIMESTAMP-MAP", "NOTE")),
    ("apple-key-frames", hls, |w| {
        w.segment("v1", 2, |s| s.samples.iter_mut().skip(1).for_each(|s| s.2 = false))
    }),
    ("apple-independent-tag", hls, |w| w.root("#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
    ("hls-codecs-true", hls, |w| w.root("avc1.64001f,mp4a.40.2", "avc1.640028,mp4a.40.2")),
    ("hls-codecs-true", hls, |w| w.root("avc1.64001f,mp4a.40.2", "avc1.64001f")),
    ("hls-codecs-nothing-else", hls, |w| {
        w.root("avc1.64001f,mp4a.40.2", "avc1.64001f,mp4a.40.2,ac-3")
    }),
    ("hls-resolution-true", hls, |w| w.root("RESOLUTION=640x360", "RESOLUTION=1280x720")),
    ("hls-frame-rate-true", hls, |w| w.root("FRAME-RATE=25.000", "FRAME-RATE=24.000")),
    ("hls-video-range-true", hdr, |w| w.init("v1", |i| i.transfer = 18)),
    ("hls-channels-true", hls, |w| w.root("CHANNELS=\"2\"", "CHANNELS=\"6\"")),
    ("apple-peak-rate", hls, |w| w.root("INF:BANDWIDTH=", "INF:BANDWIDTH=9")),
    ("apple-peak-rate", hls, |w| w.segment("v1", 2, |s| s.samples[3].1 = 9000)),
    ("apple-average-rate", hls, |w| w.root("AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1,X-WAS=")),
    ("apple-peak-to-average", hls, |w| w.segment("v1", 2, |s| s.samples[3].1 = 90_000)),
    ("apple-live-date", live, |w| w.root("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n", "")),
    ("apple-live-six", live, |w| w.root("#EXTINF:6.000,\nv1/6.m4s\n", "")),
    ("apple-live-discontinuity", live, |w| w.root("#EXT-X-DISCONTINUITY-SEQUENCE:1\n", "")),
    ("hls-live-steady", live, |w| {
        w.root("#EXT-X-MEDIA-SEQUENCE:9\n", "#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-PLAYLIST-TYPE:EVENT\n")
    }),
    ("hls-playlist-type-known", hls, |w| {
        w.root("v2.m3u8", "v2");
        let text = w.memory.resource(&format!("{BASE}v2.m3u8")).unwrap().bytes.clone();
        w.put("v2", "text/plain", text);
    }),
    ("apple-playlist-mime", hls, |w| mime(w, "v1.m3u8", "text/plain")),
    ("apple-media-mime", hls, |w| mime(w, "v1/2.m4s", "application/octet-stream")),
    ("apple-gzip", hls, |w| {
        w.memory.resource(&format!("{BASE}v1.m3u8")).unwrap().gzipped = Some(false)
    }),
    ("apple-no-redirects", hls, |w| {
        w.memory.resource(&format!("{BASE}v1/2.m4s")).unwrap().redirects = 1
    }),
    ("ts-sync", transport, |w| w.ts(2, |s| s.junk = 100)),
    ("ts-sync", transport, |w| w.ts(2, |s| s.junk = 188)),
    ("ts-tables", transport, |w| w.ts(2, |s| s.pat = false)),
    ("ts-tables", transport, |w| w.ts(2, |s| s.pmt = false)),
    ("ts-tables", transport, |w| w.ts(2, |s| s.tables_first = false)),
    ("ts-one-program", transport, |w| w.ts(2, |s| s.programs = 2)),
    ("ts-continuity", transport, |w| w.ts(2, |s| s.jump = true)),
    ("ts-continuity-across", transport, |w| w.ts(2, |s| s.counter_shift = 1)),
    ("ts-pcr", transport, |w| w.ts(2, |s| s.pcr = false)),
    ("ts-decode-order", transport, |w| w.ts(2, |s| s.backward = true)),
    ("ts-timestamps-across", transport, |w| w.ts(2, |s| s.shift = 90_000)),
    ("ts-video-start", transport, |w| w.ts(2, |s| s.nal = 0x41)),
    ("ts-no-hevc", transport, |w| w.ts(2, |s| s.stream_type = 0x24)),
];

fn mime(world: &mut World, name: &str, mime: &str) {
    world.memory.resource(&format!("{BASE}{name}")).unwrap().content_type = Some(mime.to_owned());
}
