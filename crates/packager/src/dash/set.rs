//! Adaptation sets and representations (ISO/IEC 23009-1 §5.3.3 and §5.3.5). Elements are in the order
//! of the schema (§5.3.3.3, §5.3.7.3).

use super::descriptors::{channels, colour, descriptor};
use super::mpd::Addressing;
use super::segments::{base, template};
use super::xml::{Attribute, Xml};
use crate::rates::{self, Rates};
use crate::segments::SegmentSpan;
use crate::track::Track;
use crate::track_file::FileKind;
use crate::view::View;

/// An adaptation set.
pub(super) struct Set<'a> {
    pub(super) view: &'a View<'a>,
    /// Its number, from 1.
    pub(super) number: u32,
    /// Not empty.
    pub(super) tracks: Vec<&'a Track>,
    pub(super) kind: Kind,
    pub(super) addressing: Addressing,
}

/// What a set holds of its tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of them.
    Whole,
    /// The I-frames of another set's pictures (DASH-IF IOP §3.2.9).
    Trick {
        /// That set's number.
        of: u32,
    },
}

impl Kind {
    /// The file of each track of such a set.
    pub(super) const fn file(self) -> FileKind {
        match self {
            Self::Whole => FileKind::Segments,
            Self::Trick { .. } => FileKind::IFrames,
        }
    }
}

/// One representation of a set.
struct Member<'a> {
    track: &'a Track,
    spans: Spans<'a>,
}

enum Spans<'a> {
    Shared(&'a [SegmentSpan]),
    Own(Vec<SegmentSpan>),
}

impl Member<'_> {
    fn spans(&self) -> &[SegmentSpan] {
        match &self.spans {
            Spans::Shared(spans) => spans,
            Spans::Own(spans) => spans,
        }
    }
}

impl Set<'_> {
    pub(super) fn write(&self, xml: &mut Xml) {
        let members: Vec<Member<'_>> = self.tracks.iter().map(|track| self.member(track)).collect();
        let Some(first) = members.first() else { return };
        self.open(xml, first.track);
        if let Some(audio) = first.track.audio() {
            channels(xml, audio);
        }
        if let Kind::Trick { of } = self.kind {
            let scheme = "http://dashif.org/guidelines/trickmode";
            descriptor(xml, "EssentialProperty", scheme, &of.to_string());
        }
        colour(xml, self.view, first.track);
        if self.kind == Kind::Whole {
            purpose(xml, first.track);
        }
        if self.addressing == Addressing::Ranges {
            for member in &members {
                self.representation(xml, member, |xml| {
                    base(xml, self.view.media, member.track, self.kind.file());
                });
            }
            xml.close();
            return;
        }
        // One timeline for the set where it is the same; a template of each representation where a
        // timescale or a duration differs.
        let shared = members.iter().all(|member| same_timeline(first, member));
        if shared {
            self.template(xml, first);
        }
        for member in &members {
            self.representation(xml, member, |xml| {
                if !shared {
                    self.template(xml, member);
                }
            });
        }
        xml.close();
    }

    fn member<'t>(&'t self, track: &'t Track) -> Member<'t> {
        let spans = match self.kind {
            Kind::Whole => Spans::Shared(self.view.media.spans(track.id)),
            Kind::Trick { .. } => Spans::Own(self.view.media.iframe_spans(track.id)),
        };
        Member { track, spans }
    }

    fn open(&self, xml: &mut Xml, first: &Track) {
        let kind = if first.is_video() { "video" } else { "audio" };
        let content_type = first.content_type();
        // Whole segments or parts of one file: the attributes differ in name (§5.3.3.2).
        let (aligned, starts) = match self.addressing {
            Addressing::Ranges => ("subsegmentAlignment", "subsegmentStartsWithSAP"),
            _ => ("segmentAlignment", "startWithSAP"),
        };
        let rate = self.playout_rate();
        let mut attributes = vec![
            Attribute("id", &self.number),
            Attribute("contentType", &kind),
            Attribute("mimeType", &content_type),
            Attribute(aligned, &true),
        ];
        let alone = first.is_audio() || self.kind != Kind::Whole;
        if alone || self.view.media.independent_segments() {
            attributes.push(Attribute(starts, &1));
        }
        if let Kind::Trick { .. } = self.kind {
            attributes.push(Attribute("maxPlayoutRate", &rate));
            attributes.push(Attribute("codingDependency", &false));
        }
        if let Some(language) = &first.language {
            attributes.push(Attribute("lang", language));
        }
        xml.open("AdaptationSet", &attributes);
    }

    /// How many times as fast as made the pictures can be shown with as many frames a second as
    /// they have: the frames for each I-frame. At least 1.
    fn playout_rate(&self) -> u64 {
        let rate = |track: &&Track| {
            let media = self.view.media;
            let frames: u64 =
                media.spans(track.id).iter().map(|span| u64::from(span.samples)).sum();
            frames / u64::from(media.iframe_count(track.id).max(1))
        };
        self.tracks.iter().map(rate).min().unwrap_or(1).max(1)
    }

    fn representation(&self, xml: &mut Xml, member: &Member<'_>, contents: impl FnOnce(&mut Xml)) {
        let track = member.track;
        let (id, target) = match self.kind {
            Kind::Whole => (track.id.to_string(), self.view.target),
            Kind::Trick { .. } => {
                let target = rates::target_of(member.spans(), track.timescale);
                (format!("{}.iframes", track.id), target)
            }
        };
        let bandwidth = Rates::over(member.spans(), track.timescale, target).peak.max(1);
        let mut attributes: Vec<(&'static str, String)> =
            vec![("id", id), ("bandwidth", bandwidth.to_string()), ("codecs", track.codec.clone())];
        if let Some(video) = track.video() {
            // §5.3.7.2: the visual presentation size on the grid of @sar, so after rotation.
            let turned = matches!(video.rotation, 90 | 270);
            let swap = |(a, b): (u32, u32)| if turned { (b, a) } else { (a, b) };
            let (width, height) = swap((video.width, video.height));
            let (across, down) = swap(video.sample_aspect);
            attributes.push(("width", width.to_string()));
            attributes.push(("height", height.to_string()));
            attributes.push(("sar", format!("{across}:{down}")));
            match video.frame_rate.filter(|_| self.kind == Kind::Whole) {
                Some((frames, 1)) => attributes.push(("frameRate", frames.to_string())),
                Some((frames, seconds)) => {
                    attributes.push(("frameRate", format!("{frames}/{seconds}")));
                }
                None => {}
            }
        }
        if let Some(audio) = track.audio() {
            attributes.push(("audioSamplingRate", audio.sample_rate.to_string()));
        }
        if let Some(supplemental) = track.video().and_then(|video| video.supplemental.as_ref()) {
            attributes.push(("scte214:supplementalCodecs", supplemental.codec.clone()));
            attributes.push(("scte214:supplementalProfiles", supplemental.brand.to_string()));
        }
        let attributes: Vec<Attribute<'_>> =
            attributes.iter().map(|(name, value)| Attribute(name, value)).collect();
        xml.element("Representation", &attributes, contents);
    }

    fn template(&self, xml: &mut Xml, member: &Member<'_>) {
        // I-frames have no URLs by time.
        let addressing = match self.kind {
            Kind::Whole => self.addressing,
            Kind::Trick { .. } => Addressing::Number,
        };
        template(xml, self.view.media, member.track, member.spans(), addressing);
    }
}

/// What a set is for: label, accessibility and roles (§5.8.4.2, §5.8.4.3).
fn purpose(xml: &mut Xml, track: &Track) {
    if let Some(name) = track.name.as_ref().filter(|_| track.is_audio()) {
        xml.text("Label", name);
    }
    for purpose in track.roles.iter().filter_map(|role| role.audio_purpose()) {
        let scheme = "urn:tva:metadata:cs:AudioPurposeCS:2007";
        descriptor(xml, "Accessibility", scheme, &purpose.to_string());
    }
    let role = |xml: &mut Xml, value| descriptor(xml, "Role", "urn:mpeg:dash:role:2011", value);
    if track.roles.is_empty() {
        role(xml, if track.is_video() || track.default { "main" } else { "alternate" });
    }
    for stated in &track.roles {
        role(xml, stated.dash());
    }
}

fn same_timeline(a: &Member<'_>, b: &Member<'_>) -> bool {
    let (left, right) = (a.spans(), b.spans());
    a.track.timescale == b.track.timescale
        && left.len() == right.len()
        && left.iter().zip(right).all(|(x, y)| x.start == y.start && x.duration == y.duration)
}
