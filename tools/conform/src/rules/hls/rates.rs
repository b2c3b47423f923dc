//! Rules about stated and measured bit rates (Apple, items 1.26 to 1.30 and 9.13).

use crate::hls::playlist::Tag;
use crate::hls::rates::{Rates, measure};
use crate::hls::{MediaPlaylist, Presentation};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "apple-peak-rate" Must Apple "1.27, 1.29" "BANDWIDTH is the measured peak bit rate, to within 10 % (live: at most 25 % above is measured)." Hls(peak);
    "apple-average-rate" Must Apple "1.26, 1.28" "AVERAGE-BANDWIDTH is the measured average bit rate, to within 10 % (live: at most 10 % above is measured)." Hls(average);
    "apple-peak-to-average" Should Apple "1.30" "The peak bit rate is at most twice the average." Hls(ratio);
];

/// What a variant needs: its own media with the most expensive rendition of its audio group
/// (Apple 9.13; RFC 8216bis §4.4.6.2). `None` where something is missing that must be known.
fn rates(hls: &Presentation, tag: &Tag) -> Option<(Rates, bool)> {
    let (_, uri) = hls.root.uri_after(tag.line)?;
    let own = hls.named(&uri)?;
    let mut sum = measure(own)?;
    let live = own.playlist.is_live();
    for kind in ["AUDIO", "SUBTITLES"] {
        let Some(id) = tag.attributes.text(kind) else { continue };
        let uris = hls.group(kind, id).filter_map(|tag| tag.attributes.text("URI"));
        let named: Vec<&MediaPlaylist> = uris.filter_map(|uri| hls.named(uri)).collect();
        // A rendition that is the variant's own playlist costs nothing more.
        let others = named.into_iter().filter(|media| !std::ptr::eq(*media, own));
        let measured: Vec<Rates> = others.filter_map(measure).collect();
        let most = |of: fn(&Rates) -> f64| measured.iter().map(of).fold(0.0, f64::max);
        sum.peak += most(|rates| rates.peak);
        sum.average += most(|rates| rates.average);
        sum.complete &= measured.iter().all(|rates| rates.complete);
    }
    Some((sum, live))
}

/// Compares a stated rate with a measured one. A sample may miss the peak: then only what is too
/// much can be said.
fn compare(
    hls: &Presentation,
    findings: &mut Findings,
    name: &str,
    live_margin: f64,
    of: fn(&Rates) -> f64,
) {
    for tag in hls.root.all("EXT-X-STREAM-INF") {
        let Some(stated) = tag.attributes.number(name) else { continue };
        let Some((rates, live)) = rates(hls, tag) else { continue };
        let (stated, measured) = (stated as f64, of(&rates));
        let margin = if live { live_margin } else { 1.1 };
        let too_much = measured > stated * margin;
        let too_little = !live && rates.complete && measured < stated * 0.9;
        findings.expect(
            !too_much && !too_little,
            || hls.root.at(tag.line),
            || {
                let off = (measured / stated - 1.0) * 100.0;
                let sample = if rates.complete { "" } else { " in a sample" };
                format!("{stated} stated, {measured:.0} measured{sample}, {off:+.1} %")
            },
        );
    }
}

fn peak(hls: &Presentation, findings: &mut Findings) {
    compare(hls, findings, "BANDWIDTH", 1.25, |rates| rates.peak);
}

fn average(hls: &Presentation, findings: &mut Findings) {
    // The average of a few segments says little about the whole.
    if hls.media.iter().all(|media| media.stream.complete) {
        compare(hls, findings, "AVERAGE-BANDWIDTH", 1.1, |rates| rates.average);
    }
}

fn ratio(hls: &Presentation, findings: &mut Findings) {
    for tag in hls.root.all("EXT-X-STREAM-INF") {
        let Some((rates, false)) = rates(hls, tag) else { continue };
        if rates.complete {
            findings.expect(
                rates.peak <= rates.average * 2.0,
                || hls.root.at(tag.line),
                || format!("peak {:.0}, average {:.0}", rates.peak, rates.average),
            );
        }
    }
}
