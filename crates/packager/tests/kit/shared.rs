//! The media of `HEADWATER_MEDIA`, by what becomes of them.

/// Progressive files of every codec that is carried.
pub const PROGRESSIVE: [&str; 18] = [
    "ac3_aac_two_tracks.mp4",
    "av1_aac_1s.mp4",
    "av1_hdr10_mdcv_clli_1080p.mp4",
    "bbb_854x480_30s_aac51.mp4",
    "dovi84_mov_mebx_tracks.mov",
    "eac3_joc_atmos_2s.mp4",
    "fire_720p_vfr_phone.mp4",
    "flower_540p_5s_cc0.mp4",
    "friday_480p_6s_co64_cc0.mp4",
    "h264_4k60_portrait_rotated_co64.mp4",
    "h264_aac_coverart_mjpeg.m4v",
    "h264_aac_elst_bframes_moovend_240p_10s.mp4",
    "h264_aac_noelst_bframes_audio_first_360p_8s.mp4",
    "hevc_hvc1_aac_elst_bframes.mp4",
    "intel_car_768x432_30s.mp4",
    "intel_person_768x432_139s.mp4",
    "opus_prog_1s.mp4",
    "smpte_1080p_10s.mp4",
];

/// Fragmented files: with `sidx`, with `mfra`, with neither, and with samples in the movie box.
pub const FRAGMENTED: [&str; 8] = [
    "aac_frag_sidx_60s.mp4",
    "flac_frag.mp4",
    "h264_aac_frag_mfra_nosidx.mp4",
    "h264_aac_frag_muxed_clear_8s.mp4",
    "h264_aac_frag_sidx.mp4",
    "h264_aac_partially_fragmented.mp4",
    "h264_c608_frag_clear.mp4",
    "h264_frag_sidx_144p_60s.mp4",
];

/// Files of which nothing can be carried.
pub const UNPLAYABLE: [&str; 4] = [
    "h264_aac_frag_cenc_8s.mp4",
    "qt_truncated_596s_moov_only.mp4",
    "vvc_720p_2s.mp4",
    "wvtt_in_mp4.mp4",
];

/// All that play.
pub fn playable() -> impl Iterator<Item = &'static str> {
    PROGRESSIVE.into_iter().chain(FRAGMENTED)
}
