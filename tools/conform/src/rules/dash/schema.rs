//! The part of the MPD schema that is checked: which elements and attributes an element may have,
//! and in which order the elements come (ISO/IEC 23009-1 Annex B, fifth edition).

/// What a type extends, its elements in order, and its attributes.
pub(super) struct Type {
    pub(super) elements: &'static [&'static str],
    pub(super) attributes: &'static [&'static str],
}

const BASE_ELEMENTS: [&str; 14] = [
    "FramePacking",
    "AudioChannelConfiguration",
    "ContentProtection",
    "OutputProtection",
    "EssentialProperty",
    "SupplementalProperty",
    "InbandEventStream",
    "Switching",
    "RandomAccess",
    "GroupLabel",
    "Label",
    "ProducerReferenceTime",
    "ContentPopularityRate",
    "Resync",
];

const BASE_ATTRIBUTES: [&str; 17] = [
    "profiles",
    "width",
    "height",
    "sar",
    "frameRate",
    "audioSamplingRate",
    "mimeType",
    "segmentProfiles",
    "codecs",
    "containerProfiles",
    "maximumSAPPeriod",
    "startWithSAP",
    "maxPlayoutRate",
    "codingDependency",
    "scanType",
    "selectionPriority",
    "tag",
];

const SEGMENT_ATTRIBUTES: [&str; 10] = [
    "timescale",
    "eptDelta",
    "pdDelta",
    "presentationTimeOffset",
    "presentationDuration",
    "timeShiftBufferDepth",
    "indexRange",
    "indexRangeExact",
    "availabilityTimeOffset",
    "availabilityTimeComplete",
];

const DESCRIPTOR: Type = Type { elements: &[], attributes: &["schemeIdUri", "value", "id"] };

/// Elements of the type `DescriptorType`, which have a `schemeIdUri` (§5.8.2).
pub(super) const DESCRIPTORS: [&str; 15] = [
    "EssentialProperty",
    "SupplementalProperty",
    "Role",
    "Accessibility",
    "Rating",
    "Viewpoint",
    "FramePacking",
    "AudioChannelConfiguration",
    "ContentProtection",
    "OutputProtection",
    "UTCTiming",
    "AssetIdentifier",
    "Reporting",
    "Scope",
    "InbandEventStream",
];

/// The elements that an element may have, in order; `None` where this table does not know it.
pub(super) fn elements(name: &str) -> Option<Vec<&'static str>> {
    let own = own(name)?.elements;
    let base: &[&str] = if extends_base(name) { &BASE_ELEMENTS } else { &[] };
    let segment: &[&str] = match name {
        "SegmentBase" => &["Initialization", "RepresentationIndex", "FailoverContent"],
        "SegmentTemplate" | "SegmentList" => &[
            "Initialization",
            "RepresentationIndex",
            "FailoverContent",
            "SegmentTimeline",
            "BitstreamSwitching",
        ],
        _ => &[],
    };
    Some(base.iter().chain(segment).chain(own).copied().collect())
}

/// The attributes that an element may have.
pub(super) fn attributes(name: &str) -> Option<Vec<&'static str>> {
    let own = own(name)?.attributes;
    let base: &[&str] = if extends_base(name) { &BASE_ATTRIBUTES } else { &[] };
    let segment: &[&str] =
        if name.starts_with("Segment") && name != "SegmentTimeline" && name != "SegmentURL" {
            &SEGMENT_ATTRIBUTES
        } else {
            &[]
        };
    Some(base.iter().chain(segment).chain(own).copied().collect())
}

fn extends_base(name: &str) -> bool {
    matches!(name, "AdaptationSet" | "EmptyAdaptationSet" | "Representation" | "SubRepresentation")
}

fn own(name: &str) -> Option<Type> {
    Some(match name {
        "MPD" => Type {
            elements: &[
                "ProgramInformation",
                "BaseURL",
                "Location",
                "PatchLocation",
                "ServiceDescription",
                "InitializationSet",
                "InitializationGroup",
                "InitializationPresentation",
                "ContentProtection",
                "Period",
                "Metrics",
                "EssentialProperty",
                "SupplementalProperty",
                "UTCTiming",
                "LeapSecondInformation",
            ],
            attributes: &[
                "id",
                "profiles",
                "type",
                "availabilityStartTime",
                "availabilityEndTime",
                "publishTime",
                "mediaPresentationDuration",
                "minimumUpdatePeriod",
                "minBufferTime",
                "timeShiftBufferDepth",
                "suggestedPresentationDelay",
                "maxSegmentDuration",
                "maxSubsegmentDuration",
            ],
        },
        "Period" => Type {
            elements: &[
                "BaseURL",
                "SegmentBase",
                "SegmentList",
                "SegmentTemplate",
                "AssetIdentifier",
                "EventStream",
                "ServiceDescription",
                "ContentProtection",
                "AdaptationSet",
                "Subset",
                "SupplementalProperty",
                "EmptyAdaptationSet",
                "GroupLabel",
                "Preselection",
            ],
            attributes: &["id", "start", "duration", "bitstreamSwitching"],
        },
        "AdaptationSet" | "EmptyAdaptationSet" => Type {
            elements: &[
                "Accessibility",
                "Role",
                "Rating",
                "Viewpoint",
                "ContentComponent",
                "BaseURL",
                "SegmentBase",
                "SegmentList",
                "SegmentTemplate",
                "Representation",
            ],
            attributes: &[
                "id",
                "group",
                "lang",
                "contentType",
                "par",
                "minBandwidth",
                "maxBandwidth",
                "minWidth",
                "maxWidth",
                "minHeight",
                "maxHeight",
                "minFrameRate",
                "maxFrameRate",
                "segmentAlignment",
                "subsegmentAlignment",
                "subsegmentStartsWithSAP",
                "bitstreamSwitching",
                "initializationSetRef",
                "initializationPrincipal",
            ],
        },
        "Representation" => Type {
            elements: &[
                "BaseURL",
                "ExtendedBandwidth",
                "SubRepresentation",
                "SegmentBase",
                "SegmentList",
                "SegmentTemplate",
            ],
            attributes: &[
                "id",
                "bandwidth",
                "qualityRanking",
                "dependencyId",
                "associationId",
                "associationType",
                "mediaStreamStructureId",
            ],
        },
        "SegmentTemplate" => Type {
            elements: &[],
            attributes: &[
                "duration",
                "startNumber",
                "endNumber",
                "media",
                "index",
                "initialization",
                "bitstreamSwitching",
            ],
        },
        "SegmentList" => Type {
            elements: &["SegmentURL"],
            attributes: &["duration", "startNumber", "endNumber"],
        },
        "SegmentBase" => Type { elements: &[], attributes: &[] },
        "SegmentTimeline" => Type { elements: &["S"], attributes: &[] },
        "S" => Type { elements: &[], attributes: &["t", "n", "d", "r", "k"] },
        "SegmentURL" => {
            Type { elements: &[], attributes: &["media", "mediaRange", "index", "indexRange"] }
        }
        "Initialization" | "RepresentationIndex" | "BitstreamSwitching" => {
            Type { elements: &[], attributes: &["sourceURL", "range"] }
        }
        "BaseURL" => Type {
            elements: &[],
            attributes: &[
                "serviceLocation",
                "byteRange",
                "availabilityTimeOffset",
                "availabilityTimeComplete",
                "timeShiftBufferDepth",
                "rangeAccess",
            ],
        },
        "Label" | "GroupLabel" => Type { elements: &[], attributes: &["id", "lang"] },
        "EssentialProperty"
        | "SupplementalProperty"
        | "Role"
        | "Accessibility"
        | "Rating"
        | "Viewpoint"
        | "FramePacking"
        | "AudioChannelConfiguration"
        | "UTCTiming"
        | "AssetIdentifier" => DESCRIPTOR,
        _ => return None,
    })
}
