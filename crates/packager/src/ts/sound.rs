//! Which frames of sound share a PES packet.
//!
//! A packet states the time of its first frame only; players count the others on by the frames'
//! nominal duration. So frames share one as long as that count is right to a tick of the track,
//! they last no longer than the clock may be silent (ISO/IEC 13818-1 §2.7.2), and their length can
//! be stated. It follows from the index alone: the same frames share a packet everywhere.

use super::stream::Stream;
use crate::units::Timescale;

/// The longest payload of a packet of several frames, in bytes; its length field has 16 bits.
const MAX_PAYLOAD: usize = 60_000;

/// Puts frames together, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Grouping {
    /// Of the track, and what nominal frames are counted in.
    hertz: u64,
    rate: u64,
    frame: u64,
    /// Times `rate` in ticks of the track.
    tolerance: u64,
    header: usize,
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    time: u64,
    frames: u64,
    payload: usize,
}

impl Grouping {
    /// For a track of sound; `None` for pictures.
    pub(super) fn new(stream: &Stream, timescale: Timescale) -> Option<Self> {
        let (rate, frame) = stream.frames()?;
        let (hertz, rate) = (u64::from(timescale.get()), u64::from(rate.get()));
        Some(Self {
            hertz,
            rate,
            frame: u64::from(frame),
            // One tick, but no more than a millisecond.
            tolerance: rate.min(rate * hertz / 1_000),
            header: stream.frame_header(),
            begun: None,
        })
    }

    /// The same with nothing begun.
    pub(super) fn anew(self) -> Self {
        Self { begun: None, ..self }
    }

    /// Adds a frame at `time` (ticks of the track, never falling) of `size` bytes. Gives whether it
    /// begins a packet.
    pub(super) fn add(&mut self, time: u64, size: u32, duration: u32) -> bool {
        let bytes = size as usize + self.header;
        if let Some(begun) = &mut self.begun {
            let since = time.saturating_sub(begun.time);
            let nominal = begun.frames * self.frame * self.hertz;
            if since.saturating_mul(self.rate).abs_diff(nominal) <= self.tolerance
                && since.saturating_add(u64::from(duration)).saturating_mul(10) <= self.hertz
                && begun.payload + bytes <= MAX_PAYLOAD
            {
                begun.frames += 1;
                begun.payload += bytes;
                return false;
            }
        }
        self.begun = Some(Begun { time, frames: 1, payload: bytes });
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::adts::Adts;
    use super::*;

    fn groups(hertz: u32, frames: impl Iterator<Item = (u64, u32, u32)>) -> Vec<u64> {
        let stream = Stream::Aac(Adts::read(&[0x11, 0x90]).unwrap());
        let mut grouping = Grouping::new(&stream, Timescale::new(hertz).unwrap()).unwrap();
        let starts = frames.filter(|(time, size, duration)| grouping.add(*time, *size, *duration));
        starts.map(|(time, ..)| time).collect()
    }

    #[test]
    fn frames_share_a_tenth_of_a_second() {
        let frames = (0..9).map(|n| (n * 1_024, 300, 1_024));
        assert_eq!(groups(48_000, frames), [0, 4_096, 8_192]);
        // In milliseconds no frame is where it should be, but each within a tick of it.
        let frames = (0..8).map(|n| ((n * 64 + 1) / 3, 300, 21));
        assert_eq!(groups(1_000, frames), [0, 85]);
    }

    #[test]
    fn a_gap_and_a_long_payload_begin_a_packet() {
        let gap = [(0, 300, 1_024), (1_024, 300, 3_000), (4_024, 300, 1_024), (5_048, 300, 1_024)];
        assert_eq!(groups(48_000, gap.into_iter()), [0, 4_024]);
        let long = (0..4).map(|n| (n * 1_024, 25_000, 1_024));
        assert_eq!(groups(48_000, long), [0, 2_048]);
    }
}
