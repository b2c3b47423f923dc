//! What the demo shows and sounds like, in FFmpeg's filter language.
//!
//! The picture is for looking at a player: a timecode that names every frame, a tick that crosses
//! the colour bars once a second, a lamp that lights when a second begins, and a slow gradient
//! whose bands show poor encoding. The sound changes pitch with the lamp, so that sound and
//! picture can be compared by eye and ear.

use std::{fmt::Write as _, path::Path};

use ffmpeg_next::filter;

use crate::{Error, Result, demo::DemoSpec, mp4::SAMPLE_RATE};

/// The frequency that second `n` sounds at, in hertz: steps of a fifth, folded into one octave,
/// so that neighbours are far apart and none repeats within twelve seconds.
pub fn tone(second: u32) -> f64 {
    LOWEST * 2_f64.powf(f64::from(second * 7 % 12) / 12.0)
}

const LOWEST: f64 = 261.63;

/// The graph that makes the sound, `seconds` long.
pub(crate) fn sound(spec: &DemoSpec) -> String {
    // Each second starts at phase 0 and fades over 15 ms at both ends: no click at the change.
    format!(
        "aevalsrc=exprs='0.16*sin(2*PI*{LOWEST}*pow(2,mod(7*floor(t),12)/12)*mod(t,1))\
         *min(1,min(mod(t,1),1-mod(t,1))/0.015)':s={SAMPLE_RATE}:d={},\
         aformat=sample_fmts=fltp:channel_layouts=stereo",
        spec.seconds
    )
}

/// The graph that makes the pictures, without end.
pub(crate) fn pictures(spec: &DemoSpec) -> Result<String> {
    let fonts = Fonts::find()?;
    let (w, h, fps) = (spec.width, spec.height, spec.fps);
    let part = |of_1080: u32| (h * of_1080 / 1080).max(2);
    let even = |value: u32| value.next_multiple_of(2);

    // A gradient has no detail, so a quarter of the size is enough; static grain keeps it from
    // banding and costs next to nothing once it is coded.
    let mut graph = format!(
        "gradients=s={}x{}:r={fps}:seed=7:speed=0.02:nb_colors=5:c0=0x0b3a5c:c1=0x127a94:\
         c2=0x1b2f6b:c3=0x0e566f:c4=0x08243d:x0=0:y0=0:x1={}:y1={},\
         scale={w}:{h}:flags=bicubic:out_color_matrix=bt709:out_range=tv,format=yuv420p,\
         noise=alls=4:all_seed=7,",
        even(w / 4),
        even(h / 4),
        w / 4,
        h / 4,
    );
    let _ = write!(
        graph,
        "drawtext={}:text=Headwater:fontsize={}:fontcolor=white:x=(w-tw)/2:y=h*0.17,",
        fonts.sans,
        part(104)
    );
    // The digits are as wide as the picture allows, whatever its shape.
    let digits = part(190).min(w / 9);
    let _ = write!(
        graph,
        "drawtext={}:timecode='00\\:00\\:00\\:00':rate={fps}:fontsize={digits}:fontcolor=white:\
         box=1:boxcolor=0x020a14@0.55:boxborderw={}:x=(w-tw)/2:y=(h-th)/2,",
        fonts.mono,
        part(36),
    );
    let _ = write!(
        graph,
        "drawtext={}:text='{w} × {h}  ·  {fps} frames a second':fontsize={}:\
         fontcolor=white@0.8:x=(w-tw)/2:y=h*0.70",
        fonts.sans,
        part(44),
    );
    graph.push_str("[text];");

    let bars = even(part(72));
    let tick = even(part(8));
    let lamp = even(part(56));
    let margin = part(60);
    let _ = write!(
        graph,
        "smptehdbars=s={w}x{}:r={fps},crop={w}:{bars}:0:0,format=yuv420p[bars];\
         color=white:s={tick}x{}:r={fps},format=yuv420p[tick];\
         color=0xffd23f:s={lamp}x{lamp}:r={fps},format=yuv420p[lamp];\
         [text][bars]overlay=0:H-h[a];\
         [a][tick]overlay=x='mod(t,1)*(W-w)':y=H-h[b];\
         [b][lamp]overlay=x=W-w-{margin}:y={margin}:enable='lt(mod(t,1),0.1)',format=yuv420p",
        bars * 2,
        bars + even(part(14)),
    );
    Ok(graph)
}

/// The fonts as options of drawtext.
struct Fonts {
    mono: String,
    sans: String,
}

impl Fonts {
    /// DejaVu where distributions put it, else what fontconfig has for the generic names.
    fn find() -> Result<Self> {
        let drawtext = filter::find("drawtext").ok_or(Error::Missing("the filter drawtext"))?;
        let font = |file: &str, family: &str| {
            FOLDERS
                .iter()
                .map(|folder| Path::new(folder).join(file))
                .find(|path| path.is_file())
                .map(|path| format!("fontfile='{}'", path.display()))
                .into_iter()
                .chain([format!("font='{family}\\:bold'")])
                .find(|font| {
                    filter::Graph::new().add(&drawtext, "font", &format!("{font}:text=0")).is_ok()
                })
                .ok_or(Error::NoFont)
        };
        Ok(Self {
            mono: font("DejaVuSansMono-Bold.ttf", "monospace")?,
            sans: font("DejaVuSans-Bold.ttf", "sans")?,
        })
    }
}

const FOLDERS: [&str; 4] = [
    "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/dejavu",
    "/usr/share/fonts/TTF",
    "/Library/Fonts",
];
