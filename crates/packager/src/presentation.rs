//! An asset as it answers: path → [`Resource`] → [`Plan`], total and stateless.
//!
//! Every replica, every restart and an export give identical bytes for one version of an asset.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::codec::Protocol;
use crate::download::{Download, DownloadTracks};
use crate::facts;
use crate::identity::{Fnv, Version};
use crate::layout::Planned;
use crate::media::Media;
use crate::plan::Plan;
use crate::resource::Resource;
use crate::selection::Selection;
use crate::track::{Track, TrackId};
use crate::track_file::FileKind;
use crate::view::View;
use crate::{dash, hls, ts};

/// Raised whenever playlists, MPD or report of the same version would come out differently, so
/// that their entity tags change with them.
const MANIFEST_REVISION: u32 = 5;

/// A named asset and all that can be asked of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Presentation {
    name: Arc<str>,
    media: Arc<Media>,
    /// `None` for the default.
    selection: Option<Arc<Selection>>,
}

/// Why a path has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absent {
    /// The asset has no such resource, in this version or any other.
    #[error("the asset has no such resource")]
    NotFound,
    /// The path names another version of the asset than the present one.
    #[error("this version of the asset was replaced")]
    Gone,
    /// The asset has pictures, but none that the parameters allow.
    #[error("no picture of the asset fits the parameters")]
    NoPictureFits,
    /// The asset has sounds, but none that the parameters allow.
    #[error("no sound of the asset fits the parameters")]
    NoSoundFits,
}

impl Presentation {
    /// Presents an asset under a name.
    pub fn new(name: impl Into<Arc<str>>, media: Arc<Media>) -> Self {
        Self { name: name.into(), media, selection: None }
    }

    /// The same asset, of which playlists and MPDs show what `selection` keeps. Segments and their
    /// URLs are the same in all selections.
    ///
    /// # Errors
    /// [`Absent::NoPictureFits`] and [`Absent::NoSoundFits`] where nothing is kept of a kind that
    /// the asset has.
    pub fn select(&self, selection: Selection) -> Result<Self, Absent> {
        selection.tracks(&self.media)?;
        let selection = (!selection.is_default()).then(|| Arc::new(selection));
        Ok(Self { selection, ..self.clone() })
    }

    /// What manifests show.
    pub fn selection(&self) -> &Selection {
        static ALL: LazyLock<Selection> = LazyLock::new(Selection::default);
        self.selection.as_deref().unwrap_or(&ALL)
    }

    /// The asset's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is presented.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// The version that segment URLs hold.
    pub fn version(&self) -> Version {
        self.media.version()
    }

    /// The resource at a path relative to the asset's folder.
    ///
    /// # Errors
    /// [`Absent::Gone`] for another version of this asset, otherwise [`Absent::NotFound`].
    pub fn resource(&self, path: &str) -> Result<Resource, Absent> {
        let (resource, version) = Resource::parse(path).ok_or(Absent::NotFound)?;
        // What another version held is not known here: gone, not absent.
        if version.is_some_and(|version| version != self.version()) {
            return Err(Absent::Gone);
        }
        if self.has(resource) { Ok(resource) } else { Err(Absent::NotFound) }
    }

    /// Whether the asset has a resource.
    pub(crate) fn has(&self, resource: Resource) -> bool {
        let media = &*self.media;
        let in_hls = |track: &Track| track.is_carried_by(Protocol::HlsCmaf);
        match resource {
            // What cannot be encrypted is not there where segments are.
            clear if media.segment_key().is_some() && !is_encrypted(clear) => false,
            Resource::Multivariant => {
                media.segment_key().is_some() || media.tracks().iter().any(in_hls)
            }
            Resource::SingleMultivariant => media.tracks().iter().any(in_hls),
            Resource::Mpd | Resource::Report => true,
            Resource::TimeMpd => media.tracks().iter().all(|track| media.is_told_by_time(track.id)),
            Resource::OnDemandMpd => {
                let has_file =
                    |track: &Track| media.file_map(track.id, FileKind::Segments).is_some();
                media.tracks().iter().all(has_file)
            }
            Resource::Init(track) => media.track(track).is_some(),
            Resource::MediaPlaylist(track) => media.track(track).is_some_and(in_hls),
            Resource::SinglePlaylist(track) => {
                media.track(track).is_some_and(in_hls)
                    && media.file_map(track, FileKind::Segments).is_some()
            }
            Resource::TrackFile(track) => media.file_map(track, FileKind::Segments).is_some(),
            Resource::IFrameFile(track) => media.file_map(track, FileKind::IFrames).is_some(),
            Resource::IFramePlaylist(track) => {
                media.track(track).is_some_and(in_hls) && media.iframe_count(track) > 0
            }
            Resource::IFrameInit(track) => media.iframe_count(track) > 0,
            Resource::IFrameTsPlaylist(track) => media.ts_iframe_count(track) > 0,
            Resource::IFrameTs(track, number) => number.get() <= media.ts_iframe_count(track),
            Resource::MuxedPlaylist(pair) => {
                [pair.video(), pair.audio()].map(|id| media.track(id).is_some_and(in_hls))
                    == [true, true]
            }
            Resource::MuxedInit(pair) => {
                media.track(pair.video()).is_some() && media.track(pair.audio()).is_some()
            }
            Resource::TsPlaylist(program) => media.ts_count(program).is_some(),
            Resource::SegmentKey => media.segment_key().is_some_and(|key| key.uri().is_none()),
            Resource::TsSegment(program, number) => {
                media.ts_count(program).is_some_and(|count| number.get() <= count)
            }
            Resource::Segment(track, number) => number.get() <= media.segment_count(track),
            Resource::SegmentAt(track, time) => media.number_at(track, time).is_some(),
            Resource::IFrame(track, number) => number.get() <= media.iframe_count(track),
            Resource::MuxedSegment(pair, number) => {
                let (video, audio) = (media.track(pair.video()), media.track(pair.audio()));
                video.is_some() && audio.is_some() && number.get() <= media.muxed_count(pair)
            }
        }
    }

    /// The path of a resource, relative to the asset's folder.
    pub fn path(&self, resource: Resource) -> String {
        resource.path(self.version())
    }

    /// The strong entity tag of a resource without content coding, with its quotes: two equal tags
    /// of one URL promise equal bytes (RFC 9110 §8.8.3). Known without making the bytes.
    pub fn etag(&self, resource: Resource) -> String {
        let version = self.version();
        // Names and the like are no new version of the segments, but other manifests.
        let labels = match self.media.labels() {
            0 => String::new(),
            labels => format!("-{labels:016x}"),
        };
        let manifest = |what: &str| {
            let selected = self.selection_hash().map(|hash| format!("-{hash:016x}"));
            let selected = selected.unwrap_or_default();
            let grown = self.grown_hash().map(|hash| format!("-{hash:016x}")).unwrap_or_default();
            format!("\"{version}{labels}-m{MANIFEST_REVISION}-{what}{selected}{grown}\"")
        };
        // A tail that may yet become another segment is not the same in all states of the file.
        let state = if self.is_settled(resource) { None } else { self.grown_hash() };
        let state = state.map(|hash| format!("-{hash:016x}")).unwrap_or_default();
        let media = |what: fmt::Arguments<'_>| format!("\"{what}{state}\"");
        match resource {
            Resource::Multivariant => manifest("main"),
            Resource::SingleMultivariant => manifest("single"),
            Resource::Mpd => manifest("mpd"),
            Resource::TimeMpd => manifest("time"),
            Resource::OnDemandMpd => manifest("ondemand"),
            Resource::Report => manifest(&format!("report-{:016x}", self.sources_hash())),
            Resource::MediaPlaylist(track) => manifest(&track.to_string()),
            Resource::SinglePlaylist(track) => manifest(&format!("{track}-single")),
            Resource::IFramePlaylist(track) => manifest(&format!("{track}-iframes")),
            Resource::MuxedPlaylist(pair) => manifest(&pair.to_string()),
            Resource::Init(track) => media(format_args!("{version}-{track}-init")),
            Resource::Segment(track, number) => media(format_args!("{version}-{track}-{number}")),
            Resource::SegmentAt(track, time) => media(format_args!("{version}-{track}-t{time}")),
            Resource::TrackFile(track) => media(format_args!("{version}-{track}-file")),
            Resource::IFrameInit(track) => media(format_args!("{version}-{track}-iframes-init")),
            Resource::IFrameFile(track) => media(format_args!("{version}-{track}-iframes-file")),
            Resource::IFrame(track, number) => {
                media(format_args!("{version}-{track}-iframes-{number}"))
            }
            Resource::IFrameTsPlaylist(track) => manifest(&format!("{track}-iframes-ts")),
            Resource::IFrameTs(track, number) => {
                media(format_args!("{version}-{track}-iframes-{number}-ts"))
            }
            Resource::MuxedInit(pair) => media(format_args!("{version}-{pair}-init")),
            Resource::MuxedSegment(pair, number) => {
                media(format_args!("{version}-{pair}-{number}"))
            }
            Resource::TsPlaylist(program) => manifest(&format!("{program}-ts")),
            Resource::SegmentKey => media(format_args!("{version}-key")),
            Resource::TsSegment(program, number) => {
                media(format_args!("{version}-{program}-{number}-ts"))
            }
        }
    }

    /// Whether the bytes of a resource are those of its URL for good. Not so what depends on where
    /// a recording ends: one that was taken for finished may go on, in the same version.
    pub fn is_settled(&self, resource: Resource) -> bool {
        let media = &*self.media;
        if !media.recorded {
            return resource.is_immutable();
        }
        let stays = |number: u32| {
            usize::try_from(number).is_ok_and(|number| number <= media.segments().settled())
        };
        match resource {
            Resource::Segment(_, number)
            | Resource::MuxedSegment(_, number)
            | Resource::TsSegment(_, number) => stays(number.get()),
            Resource::SegmentAt(track, time) => media.number_at(track, time).is_some_and(stays),
            // The last is shown to the end.
            Resource::IFrame(track, number) | Resource::IFrameTs(track, number) => {
                number.get() < media.iframe_count(track)
            }
            Resource::TrackFile(_) | Resource::IFrameFile(_) => false,
            other => other.is_immutable(),
        }
    }

    /// How far a recording has come: its version does not tell.
    fn grown_hash(&self) -> Option<u64> {
        let media = &*self.media;
        let mut hash = Fnv::new();
        for source in media.sources().iter().filter(|_| media.recorded) {
            source.source().mix_into(&mut hash);
        }
        hash.field(&[u8::from(media.growth().is_some())]);
        media.recorded.then(|| hash.finish())
    }

    fn selection_hash(&self) -> Option<u64> {
        let selection = self.selection.as_ref()?;
        let mut hash = Fnv::new();
        hash.field(selection.to_string().as_bytes());
        Some(hash.finish())
    }

    /// What of the report does not follow from the version: sources that carry nothing.
    fn sources_hash(&self) -> u64 {
        let media = &*self.media;
        let mut hash = Fnv::new();
        hash.field(media.report().to_string().as_bytes());
        hash.field(&(media.sources().len() as u64).to_be_bytes());
        for track in media.tracks() {
            hash.field(&(track.source as u64).to_be_bytes());
        }
        hash.finish()
    }

    /// What to send for a resource; `None` where the asset does not have it.
    ///
    /// Segments of an asset with a [segment key](crate::Options::segment_key) have no plan here, for
    /// plans are bytes in clear: only the packager's service sends them, encrypted.
    ///
    /// The plan of a whole track's file is as long as the track: servers rather send it
    /// [in parts](Self::plan_part).
    pub fn plan(&self, resource: Resource) -> Option<Planned> {
        if self.media.segment_key().is_some() && resource.is_immutable() {
            return None;
        }
        self.clear_plan(resource)
    }

    /// What is encrypted of a resource of an asset with a segment key; `None` for what is not there.
    #[cfg(feature = "http")]
    pub(crate) fn plan_to_encrypt(&self, resource: Resource) -> Option<Planned> {
        match resource {
            Resource::TsSegment(program, number) => ts::segment(&self.media, program, number),
            Resource::IFrameTs(track, number) => ts::iframe(&self.media, track, number),
            _ => None,
        }
    }

    fn clear_plan(&self, resource: Resource) -> Option<Planned> {
        let (media, selection) = (&*self.media, self.selection());
        let playlist = |text: Option<String>| Some(whole(hls::CONTENT_TYPE, text?));
        let multivariant =
            |form| playlist(hls::multivariant_playlist(&self.view_in(Protocol::HlsCmaf)?, form));
        let mpd = |addressing| {
            Some(whole(
                dash::CONTENT_TYPE,
                dash::manifest(&self.view_in(Protocol::Dash)?, addressing),
            ))
        };
        let ready = |plan: Option<Plan>| plan.map(Planned::Ready);
        match resource {
            Resource::Multivariant => multivariant(hls::Form::Segments),
            Resource::SingleMultivariant => multivariant(hls::Form::Files),
            Resource::Mpd => mpd(dash::Addressing::Number),
            Resource::TimeMpd => mpd(dash::Addressing::Time),
            Resource::OnDemandMpd => mpd(dash::Addressing::Ranges),
            Resource::Report => Some(whole("application/json", facts::report(self))),
            Resource::MediaPlaylist(track) => {
                playlist(hls::media_playlist(media, selection, track))
            }
            Resource::SinglePlaylist(track) => {
                playlist(hls::single_playlist(media, selection, track))
            }
            Resource::IFramePlaylist(track) => {
                playlist(hls::iframe_playlist(media, selection, track))
            }
            Resource::IFrameTsPlaylist(track) => {
                playlist(hls::iframe_ts_playlist(media, selection, track))
            }
            Resource::IFrameTs(track, number) => ts::iframe(media, track, number),
            Resource::MuxedPlaylist(pair) => playlist(hls::muxed_playlist(media, selection, pair)),
            Resource::Init(track) | Resource::IFrameInit(track) => ready(media.init(track)),
            Resource::Segment(track, number) => ready(media.segment(track, number.get())),
            Resource::SegmentAt(track, time) => {
                ready(media.segment(track, media.number_at(track, time)?))
            }
            Resource::TrackFile(_) | Resource::IFrameFile(_) => {
                ready(self.plan_part(resource, 0..self.len_of_parts(resource)?))
            }
            Resource::IFrame(track, number) => ready(media.iframe(track, number.get())),
            Resource::MuxedInit(pair) => ready(media.muxed_init(pair)),
            Resource::MuxedSegment(pair, number) => ready(media.muxed_segment(pair, number.get())),
            Resource::TsPlaylist(program) => playlist(hls::ts_playlist(media, selection, program)),
            Resource::TsSegment(program, number) => media.ts_segment(program, number),
            // It is answered from memory and stored nowhere: no plan holds it.
            Resource::SegmentKey => None,
        }
    }

    /// The length in bytes of a resource that [`plan_part`](Self::plan_part) can plan: one that may
    /// be as large as its sources. `None` for all others.
    pub fn len_of_parts(&self, resource: Resource) -> Option<u64> {
        let (track, kind) = self.file(resource)?;
        Some(self.media.file_map(track, kind)?.len)
    }

    /// What to send for the bytes `range` of a large resource: only what they touch is planned.
    pub fn plan_part(&self, resource: Resource, range: Range<u64>) -> Option<Plan> {
        let (track, kind) = self.file(resource)?;
        self.media.file_part(track, kind, range)
    }

    /// Which file a resource is; `None` for what is none, and where all is encrypted.
    fn file(&self, resource: Resource) -> Option<(TrackId, FileKind)> {
        let file = match resource {
            Resource::TrackFile(track) => (track, FileKind::Segments),
            Resource::IFrameFile(track) => (track, FileKind::IFrames),
            _ => return None,
        };
        self.media.segment_key().is_none().then_some(file)
    }

    /// What a protocol shows of the selection.
    fn view_in(&self, protocol: Protocol) -> Option<View<'_>> {
        self.view()?.carried_by(protocol)
    }

    /// The asset as one file to keep; `None` where it has no such tracks. Looks at every sample.
    /// An asset with a [segment key](crate::Options::segment_key) has none: it would be in clear.
    pub fn download(&self, tracks: DownloadTracks) -> Option<Download> {
        if self.media.segment_key().is_some() {
            return None;
        }
        Download::new(Arc::clone(&self.media), tracks)
    }

    pub(crate) fn view(&self) -> Option<View<'_>> {
        View::new(&self.media, self.selection()).ok()
    }
}

/// Whether an asset with a segment key has a resource.
fn is_encrypted(resource: Resource) -> bool {
    matches!(
        resource,
        Resource::Multivariant
            | Resource::Report
            | Resource::TsPlaylist(_)
            | Resource::TsSegment(..)
            | Resource::IFrameTsPlaylist(_)
            | Resource::IFrameTs(..)
            | Resource::SegmentKey
    )
}

fn whole(content_type: &'static str, text: String) -> Planned {
    let mut plan = Plan::new(content_type);
    plan.push_bytes(Bytes::from(text));
    Planned::Ready(plan)
}
