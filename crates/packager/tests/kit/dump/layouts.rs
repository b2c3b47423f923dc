//! What is in which box, in the words of [`fields`](super::fields).

/// The layout of a box; one that is not known is shown whole.
pub fn of(kind: &str) -> &'static str {
    let found =
        LAYOUTS.iter().find(|(kinds, _)| kinds.split(' ').any(|one| one == kind.trim_end()));
    found.map_or("unknown:hex", |(_, layout)| layout)
}

/// §8 and §12 of ISO/IEC 14496-12, ISO/IEC 14496-15 §5.3 and §8.3, and the codecs' own documents.
const LAYOUTS: &[(&str, &str)] = &[
    ("moov trak edts mdia minf dinf stbl mvex moof traf udta", "boxes"),
    ("ftyp styp", "major:4cc minor:u32 brands:4cc*"),
    ("free skip", "bytes:hex"),
    (
        "mvhd",
        "full created:w modified:w timescale:u32 duration:w rate:f32 volume:f16 reserved:zero10 \
         matrix:matrix predefined:zero24 next_track:u32",
    ),
    (
        "tkhd",
        "full created:w modified:w track:u32 reserved:zero4 duration:w reserved:zero8 layer:i16 \
         group:i16 volume:f16 reserved:zero2 matrix:matrix width:f32 height:f32",
    ),
    ("elst", "full count:u32 rows duration:w media_time:iw rate:f32"),
    ("mdhd", "full created:w modified:w timescale:u32 duration:w language:lang predefined:zero2"),
    ("hdlr", "full predefined:zero4 handler:4cc reserved:zero12 name:cstr"),
    ("elng", "full language:cstr"),
    ("vmhd", "full mode_and_colour:zero8"),
    ("smhd", "full balance:i16 reserved:zero2"),
    ("dref stsd", "full count:u32 boxes"),
    ("url", "full"),
    ("stts", "full count:u32 rows samples:u32 duration:u32"),
    ("ctts", "full count:u32 rows samples:u32 offset:v32"),
    ("stss", "full count:u32 rows sample:u32"),
    ("stsc", "full count:u32 rows first_chunk:u32 samples:u32 description:u32"),
    ("stsz", "full size:~u32 count:u32 rows size:~u32"),
    ("stco", "full count:u32 rows offset:~u32"),
    ("co64", "full count:u32 rows offset:~u64"),
    ("mehd", "full duration:w"),
    ("trex", "full track:u32 description:u32 duration:u32 size:u32 flags:x32"),
    ("mfhd", "full sequence:u32"),
    (
        "tfhd",
        "full track:u32 base:u64?1 description:u32?2 duration:u32?8 size:~u32?10 flags:x32?20",
    ),
    ("tfdt", "full time:w"),
    (
        "trun",
        "full count:u32 data:~i32?1 first_flags:x32?4 \
         rows duration:u32?100 size:~u32?200 flags:x32?400 offset:v32?800",
    ),
    (
        "sidx",
        "full track:u32 timescale:u32 earliest:w first_offset:w reserved:zero2 count:u16 \
         rows bytes:~u32 duration:u32 access:x32",
    ),
    ("prft", "full track:u32 ntp:x64 time:w"),
    ("emsg", "full contents:hex"),
    (
        "avc1 avc3 hvc1 hev1 dvh1 dvhe av01 vp09",
        "reserved:zero6 data:u16 predefined:zero16 width:u16 height:u16 across:f32 down:f32 \
         reserved:zero4 pictures:u16 compressor:pstr depth:u16 predefined:i16 boxes",
    ),
    (
        "mp4a .mp3 ac-3 ec-3 Opus fLaC",
        "reserved:zero6 data:u16 reserved:zero8 channels:u16 bits:u16 predefined:zero4 rate:f32 \
         boxes",
    ),
    ("avcC", "version:u8 profile:u8 compatibility:x8 level:u8 sets:~hex"),
    (
        "hvcC",
        "version:u8 profile:x8 compatibility:x32 constraints:x48 level:u8 segmentation:x16 \
         parallelism:x8 chroma:x8 luma_depth:x8 chroma_depth:x8 rate:u16 lengths:x8 sets:~hex",
    ),
    ("av1C", "version:x8 profile_level:x8 depth:x8 delay:x8 units:~hex"),
    (
        "vpcC",
        "full profile:u8 level:u8 depth_chroma_range:x8 primaries:u8 transfer:u8 matrix:u8 \
         data:u16",
    ),
    ("dvcC dvvC", "version:u8 minor:u8 profile_level_flags:x16 compatibility:x8 reserved:zero19"),
    ("esds", "full descriptors:esds"),
    ("dac3 dec3", "fields:~hex"),
    ("dOps", "version:u8 channels:u8 skip:u16 rate:u32 gain:i16 family:u8 mapping:hex"),
    (
        "dfLa",
        "full block:x32 least_block:u16 most_block:u16 least_frame:~u24 most_frame:~u24 \
             rate_channels_samples:x64 md5:~hex",
    ),
    ("pasp", "across:u32 down:u32"),
    ("colr", "kind:4cc points:hex"),
    ("btrt", "buffer:~u32 most:~u32 mean:~u32"),
    ("mdcv", "green:x32 blue:x32 red:x32 white:x32 most:u32 least:u32"),
    ("clli", "most:u16 mean:u16"),
];
