//! The errors of HTTP/3 (RFC 9114 §8.1) and of QPACK (RFC 9204 §6), as far as a server has cause
//! to name them.

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Code {
    /// H3_NO_ERROR
    NoError = 0x100,
    /// H3_INTERNAL_ERROR
    InternalError = 0x102,
    /// H3_STREAM_CREATION_ERROR
    StreamCreation = 0x103,
    /// H3_CLOSED_CRITICAL_STREAM
    ClosedCriticalStream = 0x104,
    /// H3_FRAME_UNEXPECTED
    FrameUnexpected = 0x105,
    /// H3_FRAME_ERROR
    Frame = 0x106,
    /// H3_EXCESSIVE_LOAD
    ExcessiveLoad = 0x107,
    /// H3_ID_ERROR
    Id = 0x108,
    /// H3_SETTINGS_ERROR
    Settings = 0x109,
    /// H3_MISSING_SETTINGS
    MissingSettings = 0x10a,
    /// H3_REQUEST_REJECTED
    RequestRejected = 0x10b,
    /// H3_REQUEST_INCOMPLETE
    RequestIncomplete = 0x10d,
    /// H3_MESSAGE_ERROR
    Message = 0x10e,
    /// QPACK_DECOMPRESSION_FAILED
    DecompressionFailed = 0x200,
    /// QPACK_ENCODER_STREAM_ERROR
    EncoderStream = 0x201,
    /// QPACK_DECODER_STREAM_ERROR
    DecoderStream = 0x202,
}

impl Code {
    /// What goes on the wire.
    pub(crate) const fn value(self) -> u32 {
        self as u32
    }
}

/// What a client did wrong, by what ends for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The connection.
    Connection(Code),
    /// The one stream.
    Stream(Code),
}
