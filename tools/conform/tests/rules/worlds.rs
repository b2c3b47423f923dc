//! Presentations in memory that keep every rule, to break one rule at a time.

use std::collections::BTreeMap;

use headwater_conform::{Memory, Options, Report, Sampling, check};

use crate::mp4::{Init, Segment, sidx};
use crate::ts;

pub const BASE: &str = "https://w.test/";
const COUNT: u32 = 6;
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// A presentation whose parts can be changed.
pub struct World {
    pub memory: Memory,
    root: &'static str,
    inits: BTreeMap<&'static str, Init>,
    segments: BTreeMap<(&'static str, u32), Segment>,
    ts: BTreeMap<u32, ts::Segment>,
}

impl World {
    fn new(root: &'static str) -> Self {
        Self {
            memory: Memory::new(),
            root,
            inits: BTreeMap::new(),
            segments: BTreeMap::new(),
            ts: BTreeMap::new(),
        }
    }

    pub fn put(&mut self, name: &str, mime: &str, bytes: impl Into<Vec<u8>>) {
        self.memory.put(&format!("{BASE}{name}"), mime, bytes.into());
    }

    fn bytes(&mut self, name: &str) -> &[u8] {
        &self.memory.resource(&format!("{BASE}{name}")).unwrap().bytes
    }

    /// Replaces a text everywhere in a resource; it must be there.
    pub fn edit(&mut self, name: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.bytes(name).to_vec()).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`:\n{text}");
        let resource = self.memory.resource(&format!("{BASE}{name}")).unwrap();
        resource.bytes = text.replace(from, to).into();
    }

    /// The same in the manifest.
    pub fn root(&mut self, from: &str, to: &str) {
        self.edit(self.root, from, to);
    }

    /// Adds a line before the one that begins so.
    pub fn before(&mut self, name: &str, line: &str, more: &str) {
        let text = String::from_utf8(self.bytes(name).to_vec()).unwrap();
        let at = text.find(line).unwrap();
        let (head, tail) = text.split_at(at);
        let resource = self.memory.resource(&format!("{BASE}{name}")).unwrap();
        resource.bytes = format!("{head}{more}\n{tail}").into();
    }

    pub fn init(&mut self, name: &'static str, change: impl FnOnce(&mut Init)) {
        let mut init = self.inits[name].clone();
        change(&mut init);
        self.put_init(name, init);
    }

    pub fn segment(&mut self, name: &'static str, number: u32, change: impl FnOnce(&mut Segment)) {
        let mut segment = self.segments[&(name, number)].clone();
        change(&mut segment);
        self.put_segment(name, number, segment);
    }

    pub fn ts(&mut self, number: u32, change: impl FnOnce(&mut ts::Segment)) {
        let mut segment = self.ts[&number].clone();
        change(&mut segment);
        self.put(&format!("ts/{number}.ts"), "video/mp2t", segment.bytes());
    }

    fn put_init(&mut self, name: &'static str, init: Init) {
        let mime = if init.video { "video/mp4" } else { "audio/mp4" };
        self.put(&format!("{name}/init.mp4"), mime, init.bytes());
        self.inits.insert(name, init);
    }

    fn put_segment(&mut self, name: &'static str, number: u32, segment: Segment) {
        let mime = if name.starts_with('v') { "video/mp4" } else { "audio/mp4" };
        let bytes = segment.bytes();
        if name == "a1" {
            self.put(&format!("a1/t{}.m4s", (number - 1) * 288_000), mime, bytes.clone());
        }
        self.put(&format!("{name}/{number}.m4s"), mime, bytes);
        self.segments.insert((name, number), segment);
    }

    fn tracks(&mut self) {
        for (name, init) in [
            ("v1", Init::video(320, 180)),
            ("v2", Init::video(640, 360)),
            ("v1i", Init::video(320, 180)),
            ("a1", Init::audio()),
        ] {
            self.put_init(name, init);
            for index in 0..COUNT {
                let segment = match name {
                    "v1" => Segment::video(index, 100),
                    "v2" => Segment::video(index, 200),
                    "v1i" => Segment::picture(index),
                    _ => Segment::audio(index),
                };
                self.put_segment(name, index + 1, segment);
            }
        }
    }

    /// The bit rate of a track's first segment.
    pub fn rate(&mut self, name: &str) -> usize {
        self.bytes(&format!("{name}/1.m4s")).len() * 8 / 6
    }

    fn all(&mut self, name: &str) -> Vec<Vec<u8>> {
        (1..=COUNT).map(|number| self.bytes(&format!("{name}/{number}.m4s")).to_vec()).collect()
    }

    /// A report, where the manifest is still recognised as one.
    pub fn try_check(&mut self) -> Option<Report> {
        let options = Options { sampling: Sampling::All, only: Vec::new() };
        check(&format!("{BASE}{}", self.root), &mut self.memory, &options).ok()
    }

    pub fn check(&mut self, only: &[&str]) -> Report {
        let only = only.iter().map(|id| (*id).to_owned()).collect();
        let options = Options { sampling: Sampling::All, only };
        check(&format!("{BASE}{}", self.root), &mut self.memory, &options).unwrap()
    }
}

/// An HLS presentation of fragmented MP4, with as many tags as fit together.
pub fn hls() -> World {
    let mut world = World::new("main.m3u8");
    world.tracks();
    let head = |extra: &str, dir: &str| {
        format!(
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n{extra}\
             #EXT-X-MAP:URI=\"{dir}/init.mp4\"\n"
        )
    };
    let timed = "#EXT-X-KEY:METHOD=NONE\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n\
                 #EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:00Z\",DURATION=5\n";
    for (name, extra) in [("v1", timed), ("v2", ""), ("a1", ""), ("v1i", "#EXT-X-I-FRAMES-ONLY\n")]
    {
        let mut text = head(extra, name);
        for number in 1..=COUNT {
            if number == 5 && name != "v1i" {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            text.push_str(&format!("#EXTINF:6.000,\n{name}/{number}.m4s\n"));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        world.put(&format!("{name}.m3u8"), PLAYLIST, text);
    }
    let subtitles = world.subtitles();
    let parts = world.all("a1");
    let mut text = head("", "a1");
    for (index, part) in parts.iter().enumerate() {
        if index == 4 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let offset = if index == 0 { "@0" } else { "" };
        text.push_str(&format!(
            "#EXTINF:6.000,\n#EXT-X-BYTERANGE:{}{offset}\na1/all.m4s\n",
            part.len()
        ));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    world.put("a1/all.m4s", "audio/mp4", parts.concat());
    world.put("a2.m3u8", PLAYLIST, text);
    let audio = world.rate("a1");
    let (one, two) = (world.rate("v1") + audio, world.rate("v2") + audio);
    let pictures = world.rate("v1i");
    let group = |id: &str| {
        let common = format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",LANGUAGE=\"en\",AUTOSELECT=YES,CHANNELS=\"2\""
        );
        format!(
            "{common},NAME=\"English\",DEFAULT=YES,URI=\"a1.m3u8\"\n{common},NAME=\"Described\",DEFAULT=NO,\
             CHARACTERISTICS=\"public.accessibility.describes-video\",URI=\"a2.m3u8\"\n"
        )
    };
    let variant = |rate: usize, size: &str, score: u32, group: &str| {
        format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={rate},AVERAGE-BANDWIDTH={rate},CODECS=\"avc1.64001f,mp4a.40.2\",\
             SUPPLEMENTAL-CODECS=\"dvh1.08.02/db1p\",RESOLUTION={size},FRAME-RATE=25.000,VIDEO-RANGE=SDR,\
             SCORE={score},AUDIO=\"{group}\",SUBTITLES=\"text\",CLOSED-CAPTIONS=NONE\n"
        )
    };
    let text = format!(
        "#EXTM3U\n#EXT-X-VERSION:12\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-START:TIME-OFFSET=0\n\
         #EXT-X-DEFINE:NAME=\"dir\",VALUE=\"v1\"\n#EXT-X-SESSION-DATA:DATA-ID=\"com.example\",VALUE=\"A\"\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"steer.json\",PATHWAY-ID=\"a\"\n{subtitles}{}{}{}{{$dir}}.m3u8\n{}v2.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={pictures},CODECS=\"avc1.64001f\",RESOLUTION=320x180,\
         VIDEO-RANGE=SDR,URI=\"v1i.m3u8\"\n",
        group("one"),
        group("two"),
        variant(one, "320x180", 1, "one"),
        variant(two, "640x360", 2, "two"),
    );
    world.put("main.m3u8", PLAYLIST, text);
    world
}

/// The same in HDR: everything says so.
pub fn hdr() -> World {
    let mut world = hls();
    for name in ["v1", "v2", "v1i"] {
        world.init(name, |init| init.transfer = 16);
    }
    world.root("VIDEO-RANGE=SDR", "VIDEO-RANGE=PQ");
    world
}

/// The same with video of the brand cmf2, in two fragments a segment.
pub fn fragments() -> World {
    let mut world = hls();
    world.init("v1", |init| init.brands[0] = *b"cmf2");
    for number in 1..=COUNT {
        world.segment("v1", number, |segment| {
            segment.samples.truncate(75);
            segment.second = Some(0);
            segment.sequence = number * 2;
        });
    }
    world
}

/// A media playlist that still grows.
pub fn live() -> World {
    let mut world = World::new("live.m3u8");
    world.tracks();
    let mut text = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:9\n\
                    #EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-INDEPENDENT-SEGMENTS\n\
                    #EXT-X-MAP:URI=\"v1/init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n"
        .to_owned();
    for number in 1..=COUNT {
        if number == 5 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        text.push_str(&format!("#EXTINF:6.000,\nv1/{number}.m4s\n"));
    }
    world.put("live.m3u8", PLAYLIST, text);
    world
}

/// A media playlist of transport streams.
pub fn transport() -> World {
    let mut world = World::new("ts.m3u8");
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n\
                    #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        .to_owned();
    for index in 0..3 {
        let segment = ts::Segment::new(index);
        world.put(&format!("ts/{}.ts", index + 1), "video/mp2t", segment.bytes());
        world.ts.insert(index + 1, segment);
        text.push_str(&format!("#EXTINF:6.000,\nts/{}.ts\n", index + 1));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    world.put("ts.m3u8", PLAYLIST, text);
    world
}

const MPD: &str = "application/dash+xml";
const ROLE: &str = "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>";
const TWO_CHANNELS: &str = "<AudioChannelConfiguration schemeIdUri=\"urn:mpeg:mpegB:cicp:ChannelConfiguration\" value=\"2\"/>";

fn video(id: &str, rate: usize, size: (u32, u32), inside: &str) -> String {
    format!(
        "<Representation id=\"{id}\" bandwidth=\"{rate}\" codecs=\"avc1.64001f\" width=\"{}\" height=\"{}\" \
         sar=\"1:1\" frameRate=\"25\">{inside}</Representation>\n",
        size.0, size.1
    )
}

fn audio(rate: usize, inside: &str) -> String {
    format!(
        "<Representation id=\"a1\" bandwidth=\"{rate}\" codecs=\"mp4a.40.2\" audioSamplingRate=\"48000\">{inside}\
         </Representation>\n"
    )
}

/// An MPD of the live profile: timelines with numbers and with times, nominal durations, trick mode.
pub fn dash() -> World {
    let mut world = World::new("manifest.mpd");
    world.tracks();
    let (one, two, sound, pictures) =
        (world.rate("v1") + 8, world.rate("v2") + 8, world.rate("a1") + 8, world.rate("v1i") + 8);
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"static\" \
         mediaPresentationDuration=\"PT36S\" maxSegmentDuration=\"PT6S\" minBufferTime=\"PT6S\">\n\
         <BaseURL>./</BaseURL>\n<Period id=\"1\" start=\"PT0S\">\n\
         <AdaptationSet id=\"1\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n\
         {ROLE}\n<SegmentTemplate timescale=\"12800\" presentationTimeOffset=\"0\" startNumber=\"1\" \
         initialization=\"$RepresentationID$/init.mp4\" media=\"$RepresentationID$/$Number$.m4s\">\n\
         <SegmentTimeline>\n<S t=\"0\" d=\"76800\" r=\"2\"/>\n<S t=\"230400\" d=\"76800\" r=\"2\"/>\n</SegmentTimeline>\n\
         </SegmentTemplate>\n{}{}</AdaptationSet>\n\
         <AdaptationSet id=\"2\" contentType=\"audio\" mimeType=\"audio/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\" lang=\"en\">\n\
         {TWO_CHANNELS}\n{ROLE}\n<SegmentTemplate timescale=\"48000\" initialization=\"a1/init.mp4\" \
         media=\"a1/t$Time$.m4s\">\n<SegmentTimeline>\n<S d=\"288000\" r=\"-1\"/>\n</SegmentTimeline>\n\
         </SegmentTemplate>\n{}</AdaptationSet>\n\
         <AdaptationSet id=\"3\" contentType=\"video\" mimeType=\"video/mp4\" startWithSAP=\"1\">\n\
         <EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/trickmode\" value=\"1\"/>\n{ROLE}\n\
         <SegmentTemplate timescale=\"1\" duration=\"6\" initialization=\"v1i/init.mp4\" media=\"v1i/$Number$.m4s\"/>\n{}\
         </AdaptationSet>\n</Period>\n</MPD>\n",
        video("v1", one, (320, 180), ""),
        video("v2", two, (640, 360), ""),
        audio(sound, ""),
        video("v1i", pictures, (320, 180), ""),
    );
    world.put("manifest.mpd", MPD, text);
    world
}

/// An MPD of the on-demand profile: one file each, with its index.
pub fn on_demand() -> World {
    let mut world = World::new("ondemand.mpd");
    world.tracks();
    let mut based = BTreeMap::new();
    for (name, scale, ticks) in
        [("v1", 12_800, 76_800), ("v2", 12_800, 76_800), ("a1", 48_000, 288_000)]
    {
        let (range, init) = world.single(name, scale, ticks, true);
        based.insert(name, format!(
            "<BaseURL>{name}/all.mp4</BaseURL><SegmentBase timescale=\"{scale}\" indexRange=\"{range}\">\
             <Initialization range=\"{init}\"/></SegmentBase>"
        ));
    }
    let (one, two, sound) = (world.rate("v1") + 8, world.rate("v2") + 8, world.rate("a1") + 8);
    let text = format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\" \
         type=\"static\" mediaPresentationDuration=\"PT36S\" minBufferTime=\"PT6S\">\n<Period id=\"1\">\n\
         <AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" subsegmentAlignment=\"true\" \
         subsegmentStartsWithSAP=\"1\">\n{}{}</AdaptationSet>\n<AdaptationSet contentType=\"audio\" mimeType=\"audio/mp4\" \
         lang=\"en\">\n{TWO_CHANNELS}\n{}</AdaptationSet>\n</Period>\n</MPD>\n",
        video("v1", one, (320, 180), &based["v1"]),
        video("v2", two, (640, 360), &based["v2"]),
        audio(sound, &based["a1"]),
    );
    world.put("ondemand.mpd", MPD, text);
    world
}

impl World {
    /// WebVTT, and the tag that names it.
    fn subtitles(&mut self) -> &'static str {
        let mut text =
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n"
                .to_owned();
        for number in 1..=COUNT {
            if number == 5 {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            text.push_str(&format!("#EXTINF:6.000,\ns1/{number}.vtt\n"));
            let vtt = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n";
            self.put(&format!("s1/{number}.vtt"), "text/vtt", vtt);
        }
        text.push_str("#EXT-X-ENDLIST\n");
        self.put("s1.m3u8", PLAYLIST, text);
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",LANGUAGE=\"en\",NAME=\"Text\",DEFAULT=NO,\
         AUTOSELECT=YES,FORCED=NO,URI=\"s1.m3u8\"\n"
    }

    /// Writes a track as one file with an index; gives the ranges of index and init segment.
    pub fn single(
        &mut self,
        name: &'static str,
        scale: u32,
        ticks: u32,
        sap: bool,
    ) -> (String, String) {
        let init = self.bytes(&format!("{name}/init.mp4")).to_vec();
        let parts = self.all(name);
        let references: Vec<(u32, u32)> =
            parts.iter().map(|part| (u32::try_from(part.len()).unwrap(), ticks)).collect();
        let index = sidx(scale, &references, sap);
        let ranges = (
            format!("{}-{}", init.len(), init.len() + index.len() - 1),
            format!("0-{}", init.len() - 1),
        );
        let mime = if name.starts_with('v') { "video/mp4" } else { "audio/mp4" };
        self.put(&format!("{name}/all.mp4"), mime, [init, index, parts.concat()].concat());
        ranges
    }
}

/// A dynamic MPD.
pub fn dynamic() -> World {
    let mut world = World::new("live.mpd");
    world.tracks();
    let rate = world.rate("v1") + 8;
    let text = format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" \
         type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" publishTime=\"2026-01-01T00:00:00Z\" \
         minimumUpdatePeriod=\"PT6S\" timeShiftBufferDepth=\"PT30S\" maxSegmentDuration=\"PT6S\" minBufferTime=\"PT6S\">\n\
         <Period id=\"1\" start=\"PT0S\">\n<AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" startWithSAP=\"1\">\n\
         <SegmentTemplate timescale=\"12800\" initialization=\"v1/init.mp4\" media=\"v1/$Number$.m4s\">\n\
         <SegmentTimeline>\n<S t=\"0\" d=\"76800\" r=\"5\"/>\n</SegmentTimeline>\n</SegmentTemplate>\n{}</AdaptationSet>\n\
         </Period>\n<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"https://time.example/\"/>\n</MPD>\n",
        video("v1", rate, (320, 180), ""),
    );
    world.put("live.mpd", MPD, text);
    world
}
