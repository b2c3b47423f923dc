//! Rules about the MPD as a document (ISO/IEC 23009-1 §5.2, Annex B).

use super::schema;
use crate::dash::Presentation;
use crate::dash::values;
use crate::dash::xml::{Element, NAMESPACE};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-xml" Must Dash "5.2" "An MPD is a well-formed XML document with the root MPD." Dash(xml);
    "dash-namespace" Must Dash "5.2.2" "Its namespace is urn:mpeg:dash:schema:mpd:2011." Dash(namespace);
    "dash-element-order" Must Dash "Annex B" "Elements are where the schema has them, in its order." Dash(element_order);
    "dash-attributes" Must Dash "Annex B" "Elements have no attributes that the schema does not know." Dash(attributes);
    "dash-attribute-types" Must Dash "Annex B" "Attributes have values of their type: durations, dates, unsigned integers, booleans, ratios, frame rates." Dash(attribute_types);
    "dash-descriptors" Must Dash "5.8.2" "Descriptors have a schemeIdUri." Dash(descriptors);
];

fn xml(dash: &Presentation, findings: &mut Findings) {
    let what = match &dash.root {
        Err(error) => Some(error.clone()),
        Ok(root) => {
            let local = root.name.rsplit('}').next().unwrap_or("");
            (local != "MPD").then(|| format!("the root is {local}"))
        }
    };
    findings.expect(what.is_none(), || dash.url.to_string(), || what.clone().unwrap_or_default());
}

fn namespace(dash: &Presentation, findings: &mut Findings) {
    let Some(root) = dash.mpd() else { return };
    let declared = root
        .attributes
        .iter()
        .any(|(name, value)| (name == "xmlns" || name.starts_with("xmlns:")) && value == NAMESPACE);
    findings.expect(
        declared && root.name == "MPD",
        || dash.at(root.line),
        || format!("it is `{}`", root.get("xmlns").unwrap_or("")),
    );
}

fn element_order(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        let Some(order) = schema::elements(&element.name) else { continue };
        let mut reached = 0;
        let mut before = "";
        for child in element.children.iter().filter(|child| !child.is_foreign()) {
            let place = order.iter().position(|name| *name == child.name);
            let what = match place {
                None => Some(format!("{} is no element of {}", child.name, element.name)),
                Some(place) if place < reached => {
                    Some(format!("{} comes after {before}", child.name))
                }
                Some(place) => {
                    reached = place;
                    before = &child.name;
                    None
                }
            };
            findings.expect(
                what.is_none(),
                || dash.at(child.line),
                || what.clone().unwrap_or_default(),
            );
        }
    }
}

fn attributes(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        let Some(known) = schema::attributes(&element.name) else { continue };
        for name in element.attributes.keys() {
            // Attributes of other namespaces are anybody's.
            if name.contains(':') || name == "xmlns" {
                continue;
            }
            findings.expect(
                known.contains(&&**name),
                || dash.at(element.line),
                || format!("{}@{name}", element.name),
            );
        }
    }
}

fn attribute_types(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        for (name, value) in &element.attributes {
            let Some((fits, wanted)) = fits(element, name, value) else { continue };
            findings.expect(
                fits,
                || dash.at(element.line),
                || format!("{}@{name} is `{value}`, and should be {wanted}", element.name),
            );
        }
    }
}

/// Whether a value is of its attribute's type, and the name of that.
fn fits(element: &Element, name: &str, value: &str) -> Option<(bool, &'static str)> {
    let number = || value.trim().parse::<u64>().is_ok();
    Some(match (&*element.name, name) {
        (
            "MPD",
            "mediaPresentationDuration"
            | "minimumUpdatePeriod"
            | "minBufferTime"
            | "timeShiftBufferDepth"
            | "suggestedPresentationDelay"
            | "maxSegmentDuration"
            | "maxSubsegmentDuration",
        )
        | ("Period", "start" | "duration") => (values::duration(value).is_some(), "a duration"),
        ("MPD", "availabilityStartTime" | "availabilityEndTime" | "publishTime") => {
            (values::is_date_time(value), "a date and time")
        }
        ("MPD", "type") => (matches!(value, "static" | "dynamic"), "static or dynamic"),
        (_, "segmentAlignment" | "subsegmentAlignment" | "bitstreamSwitching")
            if element.name != "SegmentTemplate" =>
        {
            (matches!(value, "true" | "false" | "1" | "0"), "a boolean")
        }
        (_, "startWithSAP" | "subsegmentStartsWithSAP") => {
            (value.parse::<u8>().is_ok_and(|sap| sap <= 6), "a SAP type from 0 to 6")
        }
        (_, "frameRate" | "maxFrameRate" | "minFrameRate") => {
            (values::frame_rate(value).is_some(), "a frame rate")
        }
        (_, "sar" | "par") => (values::ratio(value).is_some(), "a ratio x:y"),
        (
            _,
            "width"
            | "height"
            | "maxWidth"
            | "maxHeight"
            | "bandwidth"
            | "timescale"
            | "startNumber"
            | "endNumber"
            | "presentationTimeOffset"
            | "minBandwidth"
            | "maxBandwidth",
        )
        | ("SegmentTemplate" | "SegmentList", "duration")
        | ("AdaptationSet", "id" | "group")
        | ("S", "t" | "d" | "n" | "k") => (number(), "an unsigned integer"),
        ("S", "r") => (value.trim().parse::<i64>().is_ok_and(|r| r >= -1), "an integer from -1"),
        (_, "contentType") => (
            matches!(value, "text" | "image" | "audio" | "video" | "application" | "font"),
            "a top-level media type",
        ),
        (_, "indexRange" | "mediaRange" | "range") => {
            (values::byte_range(value).is_some(), "a byte range")
        }
        ("Representation", "id") => {
            (!value.is_empty() && !value.contains(char::is_whitespace), "a string without spaces")
        }
        _ => return None,
    })
}

fn descriptors(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        if schema::DESCRIPTORS.contains(&&*element.name) {
            let has = element.get("schemeIdUri").is_some_and(|scheme| scheme.contains(':'));
            findings.expect(has, || dash.at(element.line), || format!("{} has none", element.name));
        }
    }
}
