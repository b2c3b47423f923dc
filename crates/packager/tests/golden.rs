//! Golden files: every manifest and every box of what comes out, as text, for media of every kind
//! that goes in. A change of any byte that is meant shows as a readable difference, and one that is
//! not meant fails.
//!
//! Two files for each medium: its manifests and report, and the boxes or packets of each form (the
//! first and the last segment). Media that FFmpeg encodes are compared without what depends on
//! coded bytes; that this is so is tested with other bit rates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

use headwater_packager::{
    Container, Download, Forms, Media, Options, Pair, Part, Plan, Planned, Presentation, Program,
    Resource, Selection, Track, TrackId, Wish,
};
use kit::boxes::{FileSpec, TrackSpec, boxed, mp4a, words};
use kit::dump::{self, Coded};
use kit::encoded::{CODECS, LAYOUTS, Recipe};
use kit::entries::{PPS, SPS, VPS, dec3_joc, dolby_vision, hvcc, sound, visual};
use kit::fragments::{Finder, FragmentedSpec};
use kit::nal::film_of_units;
use kit::{index, lay_out, media_folder, send, shared};

/// One medium that is presented, and what of it can be read.
struct Golden {
    presentation: Presentation,
    media: Arc<Media>,
    files: Vec<Vec<u8>>,
    coded: Coded,
}

impl Golden {
    fn new(media: Media, files: Vec<Vec<u8>>, coded: Coded) -> Self {
        let media = Arc::new(media);
        Self { presentation: Presentation::new("asset", Arc::clone(&media)), media, files, coded }
    }

    fn of_files(files: Vec<Vec<u8>>, coded: Coded) -> Self {
        Self::new(kit::media(&files, &Options::default()), files, coded)
    }

    /// The bytes of a plan; of a film whose samples do not exist, those before the first of them.
    fn bytes(&self, planned: Planned) -> Vec<u8> {
        if !self.files.is_empty() {
            return send(&lay_out(planned, &self.files), &self.files);
        }
        headers(&planned.ready().expect("a film without samples is only asked for plans"))
    }

    fn resource(&self, resource: Resource) -> Option<Vec<u8>> {
        Some(self.bytes(self.presentation.plan(resource)?))
    }

    /// Every manifest, and the multivariant playlists of other containers.
    fn manifests(&self) -> String {
        let mut forms = Forms::default();
        (forms.segments, forms.times, forms.files) = (true, true, true);
        let mut out = String::new();
        for resource in self.presentation.resources_in(forms) {
            // It tells of sizes.
            let report = resource == Resource::Report && self.coded == Coded::Masked;
            if !resource.is_immutable() && !report {
                self.manifest(&self.presentation, resource, "", &mut out);
            }
        }
        for (container, mark) in [(Container::Muxed, "muxed"), (Container::Ts, "ts")] {
            let mut selection = Selection::default();
            selection.container = container;
            let Ok(selected) = self.presentation.select(selection) else { continue };
            self.manifest(&selected, Resource::Multivariant, mark, &mut out);
        }
        let playlists =
            [self.pair().map(Resource::MuxedPlaylist), self.program().map(Resource::TsPlaylist)];
        for playlist in playlists.into_iter().flatten() {
            self.manifest(&self.presentation, playlist, "", &mut out);
        }
        out
    }

    fn manifest(&self, of: &Presentation, resource: Resource, mark: &str, out: &mut String) {
        let Some(planned) = of.plan(resource) else { return };
        let text = String::from_utf8(self.bytes(planned)).unwrap();
        let text = text.replace(&of.version().to_string(), "VERSION");
        let text = if self.coded == Coded::Masked { without_rates(&text) } else { text };
        writeln!(out, "== {} {mark}", of.path(resource)).unwrap();
        *out += &dump::text(&text);
    }

    /// The boxes or packets of every form.
    fn boxes(&self) -> String {
        let mut out = String::new();
        for track in self.media.tracks() {
            let id = track.id;
            self.part(Resource::Init(id), &mut out);
            for number in ends(self.media.segment_count(id)) {
                self.part(Resource::Segment(id, number), &mut out);
            }
            for number in ends(self.media.iframe_count(id)).take(1) {
                self.part(Resource::IFrame(id, number), &mut out);
            }
            if !self.files.is_empty()
                && let Some(whole) = self.resource(Resource::TrackFile(id))
            {
                writeln!(out, "== {id} as one file, without its segments and movie box").unwrap();
                out += &dump::boxes(&dump::only(&whole, &["ftyp", "sidx"]), self.coded);
            }
            if !self.files.is_empty()
                && let Some(whole) = self.resource(Resource::IFrameFile(id))
            {
                writeln!(out, "== the I-frames of {id} as one file, likewise").unwrap();
                out += &dump::boxes(&dump::only(&whole, &["ftyp", "sidx"]), self.coded);
            }
        }
        if let Some(pair) = self.pair() {
            self.part(Resource::MuxedInit(pair), &mut out);
            let count = pair_count(&self.media, pair);
            for number in ends(count) {
                self.part(Resource::MuxedSegment(pair, number), &mut out);
            }
        }
        if let Some(program) = self.program().filter(|_| !self.files.is_empty()) {
            let count = self.media.ts_segment_bytes(program).unwrap().len() as u32;
            for number in ends(count) {
                let resource = Resource::TsSegment(program, number);
                writeln!(out, "== {program} transport stream {number}").unwrap();
                out += &dump::packets::text(&self.resource(resource).unwrap(), self.coded);
            }
        }
        if let Some(tracks) = self.media.download_tracks(Wish::Best, Wish::Best)
            && !self.files.is_empty()
        {
            let download = Download::new(Arc::clone(&self.media), tracks).unwrap();
            let bytes = send(&download.part(0..download.len()), &self.files);
            writeln!(out, "== download of {tracks}").unwrap();
            out += &dump::boxes(&bytes, self.coded);
        }
        out
    }

    fn part(&self, resource: Resource, out: &mut String) {
        let Some(bytes) = self.resource(resource) else { return };
        let path = self.presentation.path(resource);
        let path = path.split_once('/').map_or(path.as_str(), |(_, path)| path);
        writeln!(out, "== {path}").unwrap();
        *out += &dump::boxes(&bytes, self.coded);
    }

    /// The first picture and the first sound that go with it.
    fn pair(&self) -> Option<Pair> {
        let (video, audio) = self.first(|_| true);
        Pair::new(video?, audio?)
    }

    fn program(&self) -> Option<Program> {
        let (video, audio) =
            self.first(|track| self.media.ts_segment_bytes(track.id.into()).is_some());
        let program = match (video, audio) {
            (Some(video), Some(audio)) => Pair::new(video, audio)?.into(),
            (one, other) => one.or(other)?.into(),
        };
        Some(program)
    }

    fn first(&self, wanted: impl Fn(&Track) -> bool) -> (Option<TrackId>, Option<TrackId>) {
        let find = |video: bool| {
            let mut tracks = self.media.tracks().iter();
            tracks.find(|track| track.is_video() == video && wanted(track)).map(|track| track.id)
        };
        (find(true), find(false))
    }

    fn check(&self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("snapshots/golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            insta::assert_snapshot!(format!("{name}.manifests"), self.manifests());
            insta::assert_snapshot!(format!("{name}.boxes"), self.boxes());
        });
    }
}

fn pair_count(media: &Media, pair: Pair) -> u32 {
    media.segment_count(pair.video()).max(media.segment_count(pair.audio()))
}

/// The first and the last of so many.
fn ends(count: u32) -> impl Iterator<Item = NonZeroU32> {
    let first = NonZeroU32::new(count.min(1));
    let last = NonZeroU32::new(count).filter(|last| last.get() > 1);
    first.into_iter().chain(last)
}

/// What a plan sends before its first sample.
fn headers(plan: &Plan) -> Vec<u8> {
    let headers = plan.parts.iter().map_while(|part| match part {
        Part::Bytes(bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    headers.flatten().collect()
}

/// A manifest without rates and byte ranges.
fn without_rates(text: &str) -> String {
    let of_coded = regex::Regex::new(
        r#"(BANDWIDTH=|BYTERANGE[:=]"?|bandwidth="|[rR]ange=")[0-9@-]+|(SCORE=)[0-9.]+"#,
    );
    of_coded.unwrap().replace_all(text, "$1$2~").into_owned()
}

/// Media that FFmpeg encodes.
fn encoded(recipe: &Recipe, more: &[&str]) -> Option<Result<Golden, String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe.make(folder.path(), more)?;
    let file = std::fs::read(path).unwrap();
    Some(match index("0.mp4", &file) {
        Ok(_) => Ok(Golden::of_files(vec![file], Coded::Masked)),
        Err(error) => Err(error.to_string()),
    })
}

#[test]
fn what_ffmpeg_encodes() {
    for recipe in CODECS.iter().chain(&LAYOUTS) {
        match encoded(recipe, &[]) {
            None => return,
            Some(Ok(golden)) => golden.check(&format!("ffmpeg_{}", recipe.name)),
            // Named in the report of a file that has more than this.
            Some(Err(error)) => assert!(error.contains("transcode it"), "{error}"),
        }
    }
}

/// Golden files of encoded media hold for any encoder that makes the same pictures.
#[test]
fn what_encoders_decide_is_masked() {
    for recipe in [&CODECS[1], &CODECS[4], &LAYOUTS[0], &LAYOUTS[2]] {
        let made = |rate: &str| encoded(recipe, &["-b:v", rate, "-b:a", rate]);
        let (Some(one), Some(other)) = (made("40k"), made("160k")) else { return };
        let (one, other) = (one.ok().unwrap(), other.ok().unwrap());
        assert_ne!(one.files, other.files, "{}", recipe.name);
        assert_eq!(one.manifests(), other.manifests(), "{}", recipe.name);
        assert_eq!(one.boxes(), other.boxes(), "{}", recipe.name);
    }
}

#[test]
fn real_media() {
    let Some(folder) = media_folder() else { return };
    for name in shared::playable() {
        let file = std::fs::read(folder.join(name)).unwrap();
        Golden::of_files(vec![file], Coded::Shown).check(name);
    }
}

/// A picture of HEVC with this entry.
fn hevc(kind: [u8; 4], boxes: &[Vec<u8>]) -> TrackSpec {
    let mut video = TrackSpec::video(100, 300, 25);
    let mut all = vec![hvcc(&[VPS, SPS, PPS])];
    all.extend_from_slice(boxes);
    video.entry = Some(visual(kind, &all));
    video
}

fn colour(primaries: u8, transfer: u8, matrix: u8) -> Vec<u8> {
    let points = [b"nclx", &[0, primaries, 0, transfer][..], &[0, matrix, 0]].concat();
    boxed(*b"colr", &points)
}

/// Files that FFmpeg does not write.
fn made_by_hand() -> Vec<(&'static str, Vec<u8>)> {
    let file = |tracks: Vec<TrackSpec>| FileSpec::new(tracks).bytes();
    let pictures =
        |kind, boxes: &[Vec<u8>]| file(vec![hevc(kind, boxes), TrackSpec::audio(188, 90)]);
    let mut reordered = TrackSpec::video(100, 300, 25);
    reordered.offsets = [(1, 1_024), (1, 2_048), (1, 512), (1, 512)].repeat(25);

    let mut edited = reordered.clone();
    edited.edits = vec![(500, -1, 1 << 16), (3_000, 1_024, 1 << 16)];
    let mut primed = TrackSpec::audio(188, 90);
    primed.edits = vec![(4_000, 1_024, 1 << 16)];
    let mut signed = TrackSpec::video(100, 300, 25);
    signed.offsets = [(1, 0), (1, 1_024), (1, -512), (1, -512)].repeat(25);
    signed.offsets_version = 1;
    let mut several = TrackSpec::video(200, 300, 25);
    several.edits = vec![(2_000, 0, 1 << 16), (2_000, 51_200, 1 << 16)];

    let mut objects = TrackSpec::audio(125, 768);
    objects.durations = vec![(125, 1_536)];
    objects.entry = Some(sound(*b"ec-3", &[dec3_joc()]));
    let mut efficient = TrackSpec::audio(94, 300);
    efficient.timescale = 48_000;
    efficient.durations = vec![(94, 2_048)];
    efficient.entry = Some(mp4a(b"\x2b\x11\x88\0"));

    let light = [
        colour(9, 16, 9),
        boxed(*b"mdcv", &[&[0x22; 16][..], &words(&[10_000_000, 50])].concat()),
        boxed(*b"clli", &[3, 232, 1, 144]),
    ];
    let mut hybrid = FragmentedSpec::new(vec![reordered.clone(), TrackSpec::audio(188, 90)], 25);
    hybrid.in_movie = 25;
    let mut growing = FragmentedSpec::new(vec![TrackSpec::video(100, 300, 25)], 25);
    growing.finder = Finder::Mfra;
    vec![
        ("two_edits", file(vec![edited, primed])),
        ("signed_offsets", file(vec![signed, TrackSpec::audio(188, 90)])),
        ("several_edits", file(vec![several])),
        ("joc", file(vec![objects])),
        ("he_aac", file(vec![efficient])),
        ("hdr10", pictures(*b"hvc1", &light)),
        ("hlg", pictures(*b"hvc1", &[colour(9, 18, 9)])),
        ("dolby_vision_5", pictures(*b"dvhe", &[dolby_vision(*b"dvcC", 5, 6, 0)])),
        ("dolby_vision_8_1", pictures(*b"hvc1", &[dolby_vision(*b"dvvC", 8, 6, 1)])),
        (
            "dolby_vision_8_4",
            pictures(*b"hvc1", &[colour(9, 18, 9), dolby_vision(*b"dvvC", 8, 6, 4)]),
        ),
        ("hybrid", hybrid.bytes()),
        ("mfra", growing.bytes()),
        ("units_of_two", film_of_units(2, reordered, Some(TrackSpec::audio(188, 90)))),
    ]
}

#[test]
fn files_that_ffmpeg_does_not_write() {
    for (name, file) in made_by_hand() {
        Golden::of_files(vec![file], Coded::Shown).check(&format!("made_{name}"));
    }
}

/// A ladder of two with a sound of its own each.
#[test]
fn a_ladder() {
    let rendition = |size, language| {
        let mut sound = TrackSpec::audio(188, size / 4);
        sound.language = language;
        FileSpec::new(vec![TrackSpec::video(100, size, 25), sound]).bytes()
    };
    let files = vec![rendition(300, *b"eng"), rendition(900, *b"fra")];
    Golden::of_files(files, Coded::Shown).check("made_ladder");
}

/// Ten hours at 60 pictures a second: a terabyte, of which only the movie box exists.
#[test]
fn ten_hours() {
    let (pictures, sounds) = (36_000 * 60, 36_000 * 48_000 / 1_024);
    let mut video = TrackSpec::video(pictures, 480_000, 120);
    video.timescale = 30_720;
    video.wide_chunks = true;
    video.samples_per_chunk = 120;
    let mut audio = TrackSpec::audio(sounds, 340);
    audio.wide_chunks = true;
    audio.samples_per_chunk = 94;
    let (head, size) = FileSpec::new(vec![video, audio]).head();
    let media = Media::new(
        vec![Arc::new(kit::index_head("0.mp4", &head.into(), size).unwrap().0)],
        &Options::default(),
    );
    Golden::new(media.unwrap(), Vec::new(), Coded::Shown).check("made_ten_hours");
}
