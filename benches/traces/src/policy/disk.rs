//! The cache's tier on disk: its own code for what it takes and what it writes again, over regions
//! that hold nothing but names. The tier in memory before it is left out.

use std::collections::VecDeque;

use super::Policy;
use crate::tier::admission::Admission;
use crate::tier::evict;
use crate::tier::index::{Entry, MAX_HEAT};
use crate::tier::record::Place;

pub(super) struct Disk {
    capacity: u64,
    region_bytes: u64,
    admission: Admission,
    /// Where each object lies, and how warm it is.
    places: Vec<Option<Entry>>,
    /// The oldest first; the last is being written.
    regions: VecDeque<Region>,
    written: u64,
}

#[derive(Default)]
struct Region {
    number: u32,
    bytes: u64,
    objects: Vec<u32>,
}

impl Disk {
    pub(super) fn new(capacity: u64, objects: usize) -> Self {
        // As the tier's builder chooses it.
        let region = (capacity / 1024).max(capacity.min(1 << 30) / 16).max(64 << 10);
        Self {
            capacity,
            region_bytes: 1 << region.min(capacity / 4).clamp(64 << 10, 1 << 30).ilog2(),
            admission: Admission::new(capacity >> 14),
            places: vec![None; objects],
            regions: VecDeque::new(),
            written: 0,
        }
    }

    /// Begins a region, and lets the oldest go until there is room for it.
    fn begin_region(&mut self) {
        let number = self.regions.back().map_or(1, |region| region.number + 1);
        self.regions.push_back(Region { number, ..Region::default() });
        let closed = |regions: &VecDeque<Region>| {
            let newest = regions.back().map_or(0, |region| region.bytes);
            regions.iter().map(|region| region.bytes).sum::<u64>() - newest
        };
        while self.regions.len() > 1 && closed(&self.regions) + self.region_bytes > self.capacity {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some(oldest) = self.regions.pop_front() else { return };
        let entries = oldest.objects.iter().filter_map(|&object| self.places[object as usize]);
        let entries = entries.filter(|entry| entry.at.region == oldest.number).collect();
        let (kept, gone) = evict::choose(entries, self.region_bytes);
        let frequencies = gone.iter().map(|entry| u64::from(self.admission.frequency(entry.hash)));
        self.admission.made_room(frequencies.sum(), gone.len() as u64);
        for entry in gone {
            self.places[entry.variant as usize] = None;
        }
        for entry in kept {
            self.places[entry.variant as usize] = None;
            if self.has_room(entry.len) {
                self.append(Entry { heat: 0, ..entry });
            }
        }
    }

    fn has_room(&self, len: u32) -> bool {
        let region = self.regions.back();
        region.is_some_and(|region| region.bytes + u64::from(len) <= self.region_bytes)
    }

    fn append(&mut self, entry: Entry) {
        let Some(region) = self.regions.back_mut() else { return };
        let at = Place { region: region.number, offset: region.bytes as u32 };
        region.bytes += u64::from(entry.len);
        region.objects.push(entry.variant);
        self.places[entry.variant as usize] = Some(Entry { at, ..entry });
        self.written += u64::from(entry.len);
    }
}

impl Policy for Disk {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        if let Some(entry) = &mut self.places[object as usize] {
            entry.heat = (entry.heat + 1).min(MAX_HEAT);
            return true;
        }
        let hash = super::hash(object);
        let frequency = self.admission.count(hash);
        if self.admission.admits(frequency) && u64::from(bytes) <= self.region_bytes {
            // Making room may fill a new region by what lives on, as in the tier.
            for _ in 0..3 {
                if self.has_room(bytes) {
                    break;
                }
                self.begin_region();
            }
            if self.has_room(bytes) {
                let at = Place { region: 0, offset: 0 };
                self.append(Entry { hash, variant: object, at, len: bytes, heat: 0 });
            }
        }
        false
    }

    fn written(&self) -> u64 {
        self.written
    }
}
