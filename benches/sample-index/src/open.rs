//! How much memory a thousand open titles take: each is indexed by itself from bytes that are read
//! for it and given back, in a process that does nothing else.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::assets::index_of;
use crate::memory;
use crate::title::Title;

/// How many.
const COUNT: u32 = 1_000;

/// What they took, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Open {
    titles: u32,
    /// Resident memory after, less before.
    resident: u64,
    /// What the allocator gave out and has not got back.
    allocated: u64,
    /// What the indexes say.
    weight: u64,
}

/// Runs the process.
pub fn measure(title: &Title) -> Result<Open> {
    let dir = tempfile::tempdir()?;
    let head = dir.path().join("head.mp4");
    fs::write(&head, &title.head)?;
    let output = Command::new(std::env::current_exe()?)
        .arg("--open")
        .arg(&head)
        .args([title.size.to_string(), COUNT.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What that process does.
pub fn child(arguments: &[String]) -> Result<()> {
    let [head, size, count] = arguments else { return Err("HEAD SIZE COUNT".into()) };
    let (size, count) = (size.parse()?, count.parse::<u32>()?);
    let mut indexes = Vec::with_capacity(count as usize);
    let before = memory::of_process("VmRSS")?;
    let (built, allocated) = memory::held(|| -> Result<()> {
        for _ in 0..count {
            indexes.push(index_of(&Bytes::from(fs::read(head)?), size)?);
        }
        Ok(())
    });
    built?;
    let resident = memory::of_process("VmRSS")?.saturating_sub(before);
    let weight = indexes.iter().map(|index| index.weight_bytes() as u64).sum();
    let open = Open { titles: count, resident, allocated: allocated as u64, weight };
    println!("{}", serde_json::to_string(&open)?);
    Ok(())
}

impl Open {
    pub fn print(&self) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "\n{} open two-hour titles: {:.0} MiB resident, {:.0} MiB allocated, {:.0} MiB by their \
             own count",
            self.titles,
            mib(self.resident),
            mib(self.allocated),
            mib(self.weight)
        );
    }
}
