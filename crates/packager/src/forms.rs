//! Lists of all that an asset answers, form by form: what an export writes.

use std::num::NonZeroU32;

use crate::codec::Protocol;
use crate::hls;
use crate::pair::Pair;
use crate::presentation::Presentation;
use crate::resource::Resource;
use crate::selection::Container;
use crate::ts::Program;
use crate::view::View;

/// Which forms of an asset are listed. The default is what nearly every player takes: segments by
/// number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Forms {
    /// Segments by number: `main.m3u8`, `manifest.mpd`, in the container that the selection says.
    /// Default `true`.
    pub segments: bool,
    /// Segments by time: `time.mpd`. Default `false`.
    pub times: bool,
    /// One file a track: `single.m3u8`, `ondemand.mpd`. Default `false`.
    pub files: bool,
}

impl Default for Forms {
    fn default() -> Self {
        Self { segments: true, times: false, files: false }
    }
}

impl Presentation {
    /// What an export writes by default: [`resources_in`](Self::resources_in) the default forms.
    pub fn resources(&self) -> impl Iterator<Item = Resource> {
        self.resources_in(Forms::default())
    }

    /// The report, and the manifests of these forms with all that they name in the present
    /// selection, each once: manifests first, then track by track.
    pub fn resources_in(&self, forms: Forms) -> impl Iterator<Item = Resource> {
        let mut list = List::default();
        if let Some(view) = self.view() {
            list.fill(&view, forms, |resource| self.has(resource));
        }
        list.manifests.retain(|manifest| self.has(*manifest));
        list.folders.retain(|(first, _)| self.has(*first));
        list.timed.retain(|segment| self.has(*segment));
        let segments = list.folders.into_iter().flat_map(|(first, count)| {
            let numbers = (1..=count).filter_map(NonZeroU32::new);
            let segments = numbers.filter_map(move |number| match first {
                Resource::Init(track) => Some(Resource::Segment(track, number)),
                Resource::IFrameInit(track) => Some(Resource::IFrame(track, number)),
                Resource::MuxedInit(pair) => Some(Resource::MuxedSegment(pair, number)),
                Resource::TsPlaylist(program) => Some(Resource::TsSegment(program, number)),
                Resource::IFrameTsPlaylist(track) => Some(Resource::IFrameTs(track, number)),
                _ => None,
            });
            std::iter::once(first).chain(segments)
        });
        list.manifests.into_iter().chain(segments).chain(list.timed)
    }
}

#[derive(Default)]
struct List {
    manifests: Vec<Resource>,
    /// The first resource of a folder, and how many numbered ones follow it.
    folders: Vec<(Resource, u32)>,
    /// Segments by time.
    timed: Vec<Resource>,
}

impl List {
    /// Adds all that these forms may have; what the asset lacks is taken out later.
    fn fill(&mut self, view: &View<'_>, forms: Forms, has: impl Fn(Resource) -> bool) {
        let media = view.media;
        if forms.segments {
            self.manifests.extend([Resource::Multivariant, Resource::Mpd]);
        }
        if forms.times {
            self.manifests.push(Resource::TimeMpd);
        }
        if forms.files {
            self.manifests.extend([Resource::SingleMultivariant, Resource::OnDemandMpd]);
        }
        self.manifests.push(Resource::Report);
        if forms.segments {
            self.manifests.push(Resource::SegmentKey);
            for pair in pairs(view) {
                self.manifests.push(Resource::MuxedPlaylist(pair));
                self.folders.push((Resource::MuxedInit(pair), media.muxed_count(pair)));
            }
            for program in programs(view) {
                let count = media.ts_count(program).unwrap_or(0);
                self.folders.push((Resource::TsPlaylist(program), count));
            }
        }
        for track in &view.tracks {
            let id = track.id;
            // A track that fits no file is in segments there, too.
            let in_segments = forms.segments || (forms.files && !has(Resource::TrackFile(id)));
            if in_segments {
                self.manifests.push(Resource::MediaPlaylist(id));
                self.folders.push((Resource::Init(id), media.segment_count(id)));
            }
            if forms.files {
                self.manifests.push(Resource::SinglePlaylist(id));
                self.folders.push((Resource::TrackFile(id), 0));
            }
            if forms.times {
                if !in_segments {
                    self.folders.push((Resource::Init(id), 0));
                }
                let starts = media.spans(id).iter().map(|span| span.start);
                self.timed.extend(starts.map(|start| Resource::SegmentAt(id, start)));
            }
            if !view.selection.without_iframes {
                if forms.segments && view.container() == Container::Ts {
                    let count = media.ts_iframe_count(id);
                    self.folders.push((Resource::IFrameTsPlaylist(id), count));
                }
                self.manifests.push(Resource::IFramePlaylist(id));
                self.folders.push((Resource::IFrameInit(id), media.iframe_count(id)));
                if forms.files {
                    self.folders.push((Resource::IFrameFile(id), 0));
                }
            }
        }
    }
}

/// The pairs that the selection's multivariant playlist names.
fn pairs(view: &View<'_>) -> Vec<Pair> {
    if view.container() != Container::Muxed {
        return Vec::new();
    }
    let Some(view) = view.clone().carried_by(Protocol::HlsCmaf) else { return Vec::new() };
    let sounds = hls::default_sounds(&view);
    let with = |video| sounds.iter().filter_map(move |audio| Pair::new(video, *audio));
    view.pictures().flat_map(|video| with(video.id)).collect()
}

/// The transport streams that the selection's multivariant playlist names.
fn programs(view: &View<'_>) -> Vec<Program> {
    match view.container() {
        Container::Ts => view.in_ts().map(|view| hls::programs(&view)).unwrap_or_default(),
        _ => Vec::new(),
    }
}
