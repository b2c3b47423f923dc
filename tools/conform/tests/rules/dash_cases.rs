//! A breach of each rule about DASH.

use crate::Case;
use crate::worlds::{BASE, dash, dynamic, on_demand};

pub const CASES: &[Case] = &[
    ("dash-xml", dash, |w| w.root("</MPD>", "")),
    ("dash-xml", dash, |w| w.root("MPD", "mpd")),
    ("dash-namespace", dash, |w| w.root("schema:mpd:2011", "schema:mpd:2012")),
    ("dash-namespace", dash, |w| w.root("xmlns=\"urn:mpeg:dash:schema:mpd:2011\" ", "")),
    ("dash-element-order", dash, |w| {
        w.root("<BaseURL>./</BaseURL>\n", "");
        w.root("</Period>", "</Period>\n<BaseURL>./</BaseURL>");
    }),
    ("dash-element-order", dash, |w| w.root("<BaseURL>./</BaseURL>", "<BaseUrl>./</BaseUrl>")),
    ("dash-attributes", dash, |w| w.root("lang=\"en\"", "lang=\"en\" label=\"English\"")),
    ("dash-attribute-types", dash, |w| w.root("PT36S", "36")),
    ("dash-attribute-types", dash, |w| w.root("frameRate=\"25\"", "frameRate=\"25.0\"")),
    ("dash-attribute-types", dash, |w| w.root("sar=\"1:1\"", "sar=\"1/1\"")),
    ("dash-descriptors", dash, |w| {
        w.root("<Role schemeIdUri=\"urn:mpeg:dash:role:2011\"", "<Role")
    }),
    ("dash-mpd-required", dash, |w| w.root(" minBufferTime=\"PT6S\"", "")),
    ("dash-static-length", dash, |w| w.root("mediaPresentationDuration=\"PT36S\" ", "")),
    ("dash-static-only", dash, |w| {
        w.root("minBufferTime", "minimumUpdatePeriod=\"PT6S\" minBufferTime")
    }),
    ("dash-dynamic-times", dynamic, |w| w.root("publishTime=\"2026-01-01T00:00:00Z\" ", "")),
    ("dash-period-start", dash, |w| w.root("start=\"PT0S\"", "start=\"PT5S\"")),
    ("dash-period-ids", dynamic, |w| w.root("<Period id=\"1\" ", "<Period ")),
    ("dash-period-sets", dash, |w| {
        w.root("</Period>", "<AdaptationSet contentType=\"text\"/></Period>")
    }),
    ("dash-resources", dash, |w| w.memory.remove(&format!("{BASE}v2/2.m4s"))),
    ("dash-mime", dash, |w| {
        let mpd = w.memory.resource(&format!("{BASE}manifest.mpd")).unwrap();
        mpd.content_type = Some("text/xml".to_owned());
    }),
    ("dash-max-segment", dash, |w| {
        w.root("maxSegmentDuration=\"PT6S\"", "maxSegmentDuration=\"PT5.9S\"")
    }),
    ("dash-representation-required", dash, |w| w.root("mimeType=\"audio/mp4\" ", "")),
    ("dash-representation-ids", dash, |w| w.root("id=\"v1i\"", "id=\"a1\"")),
    ("dash-set-ids", dash, |w| w.root("AdaptationSet id=\"2\"", "AdaptationSet id=\"1\"")),
    ("dash-content-type", dash, |w| w.root("contentType=\"audio\"", "contentType=\"video\"")),
    ("dash-codecs", dash, |w| w.root("codecs=\"mp4a.40.2\" ", "")),
    ("dash-language", dash, |w| w.root("lang=\"en\"", "lang=\"e\"")),
    ("dash-roles", dash, |w| w.root("value=\"main\"", "value=\"primary\"")),
    ("dash-one-main", dash, |w| w.root("<EssentialProperty", "<SupplementalProperty")),
    ("dash-audio-channels", dash, |w| {
        w.root("<AudioChannelConfiguration", "<SupplementalProperty")
    }),
    ("dash-video-size", dash, |w| w.root(" frameRate=\"25\"", "")),
    ("dash-trick-mode", dash, |w| w.root("trickmode\" value=\"1\"", "trickmode\" value=\"9\"")),
    ("dash-one-addressing", dash, |w| {
        w.root("<SegmentTemplate timescale=\"1\"", "<SegmentBase/><SegmentTemplate timescale=\"1\"")
    }),
    ("dash-template-identifiers", dash, |w| w.root("v1i/$Number$", "v1i/$Number%2d$")),
    ("dash-template-identifiers", dash, |w| w.root("v1i/$Number$", "v1i/$Nr$")),
    ("dash-template-changes", dash, |w| w.root("v1i/$Number$", "v1i/1")),
    ("dash-template-time", dash, |w| w.root("v1i/$Number$", "v1i/$Time$")),
    ("dash-template-duration", dash, |w| {
        w.root("timescale=\"48000\"", "timescale=\"48000\" duration=\"288000\"")
    }),
    ("dash-initialization", dash, |w| w.root("initialization=\"a1/init.mp4\"", "")),
    ("dash-timeline-entries", dash, |w| w.root("t=\"230400\"", "t=\"230000\"")),
    ("dash-timeline-entries", dash, |w| {
        w.root("<S d=\"288000\" r=\"-1\"/>", "<S d=\"288000\" r=\"-1\"/><S d=\"1\"/>")
    }),
    ("dash-timeline-gaps", dash, |w| w.root("t=\"230400\"", "t=\"230500\"")),
    ("dash-timeline-length", dash, |w| {
        w.root("<S t=\"230400\" d=\"76800\" r=\"2\"/>", "<S t=\"230400\" d=\"76800\" r=\"1\"/>")
    }),
    ("dash-offset", dash, |w| {
        w.root("presentationTimeOffset=\"0\"", "presentationTimeOffset=\"128000\"")
    }),
    ("dash-timeline-true", dash, |w| w.segment("v1", 2, |s| s.tfdt = Some(76_900))),
    ("dash-timeline-true", dash, |w| w.segment("a1", 2, |s| s.samples.truncate(299))),
    ("dash-duration-true", dash, |w| w.segment("v1i", 3, |s| s.tfdt = Some(300_000))),
    ("dash-codecs-true", dash, |w| w.root("avc1.64001f", "avc1.640028")),
    ("dash-size-true", dash, |w| w.root("width=\"640\"", "width=\"648\"")),
    ("dash-frame-rate-true", dash, |w| w.root("frameRate=\"25\"", "frameRate=\"30\"")),
    ("dash-sampling-rate-true", dash, |w| {
        w.root("audioSamplingRate=\"48000\"", "audioSamplingRate=\"44100\"")
    }),
    ("dash-channels-true", dash, |w| {
        w.root("ChannelConfiguration\" value=\"2\"", "ChannelConfiguration\" value=\"6\"")
    }),
    ("dash-sap-true", dash, |w| w.segment("v2", 2, |s| s.samples[0].2 = false)),
    ("dash-alignment-true", dash, |w| w.segment("v2", 2, |s| s.tfdt = Some(78_000))),
    ("dash-bandwidth-true", dash, |w| w.segment("v1", 2, |s| s.samples[9].1 = 90_000)),
    ("dash-bandwidth-true", dash, |w| w.root("bandwidth=\"2", "bandwidth=\"1")),
    ("dash-index-true", on_demand, |w| {
        w.single("v1", 12_800, 76_900, true);
    }),
    ("dash-index-true", on_demand, |w| w.put("v1/all.mp4", "video/mp4", vec![1; 5000])),
    ("dash-index-sap", on_demand, |w| {
        w.single("v2", 12_800, 76_800, false);
    }),
    ("dash-self-contained", dash, |w| w.segment("v1", 2, |s| s.mdat = false)),
    ("dash-profiles-form", dash, |w| w.root("urn:mpeg:dash:profile:cmaf:2019", "cmaf")),
    ("dash-live-profile", dash, |w| w.root(" segmentAlignment=\"true\"", "")),
    ("dash-live-profile", dash, |w| {
        w.root("SegmentTemplate timescale=\"1\"", "SegmentList timescale=\"1\"")
    }),
    ("dash-on-demand-profile", dash, |w| w.root("isoff-live", "isoff-on-demand")),
    ("dash-on-demand-profile", on_demand, |w| w.root("subsegmentStartsWithSAP=\"1\"", "")),
    ("dash-cmaf-profile", dash, |w| w.init("v1", |i| i.brands = vec![*b"iso6"])),
    ("dash-clock", dynamic, |w| {
        w.root("<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"https://time.example/\"/>\n", "")
    }),
    ("dash-buffer-depth", dynamic, |w| w.root("PT30S", "PT5S")),
];
