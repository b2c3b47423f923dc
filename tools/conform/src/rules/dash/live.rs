//! Rules about dynamic MPDs (ISO/IEC 23009-1 §5.3.1.2, §5.8.5.7).

use crate::dash::Presentation;
use crate::dash::values::duration;
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-clock" Should Dash "5.8.5.7" "A dynamic MPD says with UTCTiming where its clock is." Dash(clock);
    "dash-buffer-depth" Must Dash "5.3.1.2" "timeShiftBufferDepth is longer than the longest segment." Dash(depth);
];

fn clock(dash: &Presentation, findings: &mut Findings) {
    if let Some(mpd) = dash.mpd().filter(|_| dash.is_dynamic()) {
        let has = mpd.child("UTCTiming").is_some();
        findings.expect(has, || dash.at(mpd.line), || "there is none");
    }
}

fn depth(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd().filter(|_| dash.is_dynamic()) else { return };
    let seconds = |name| mpd.get(name).and_then(duration);
    if let (Some(depth), Some(longest)) =
        (seconds("timeShiftBufferDepth"), seconds("maxSegmentDuration"))
    {
        let what = || format!("{depth} s, and a segment lasts up to {longest} s");
        findings.expect(depth > longest, || dash.at(mpd.line), what);
    }
}
