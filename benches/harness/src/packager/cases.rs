//! The cases: which playlists, which segments of them, and the same bytes as files.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use headwater_packager::source::read_index;
use headwater_packager::{FileSource, Limits, Media, Options, Part};
use serde::Serialize;

use super::client::{Client, Target};
use super::serve::Bare;
use super::settle;
use crate::load::{Protocol, Result};
use crate::peer::Server;

/// What kind of segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// CMAF video of a file with sound in it.
    Video,
    /// CMAF sound of a file with pictures in it.
    Audio,
    /// CMAF with both.
    Muxed,
    /// MPEG-TS with both.
    Ts,
    /// The same, encrypted as a whole.
    TsAes128,
    /// What `--peer` names.
    #[value(skip)]
    Peer,
}

impl Kind {
    /// All that the packager is asked for.
    const ALL: [Self; 5] = [Self::Video, Self::Audio, Self::Muxed, Self::Ts, Self::TsAes128];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Muxed => "muxed",
            Self::Ts => "ts",
            Self::TsAes128 => "ts-aes-128",
            Self::Peer => "peer",
        }
    }

    /// Its playlist below the asset.
    const fn playlist(self) -> &'static str {
        match self {
            Self::Video => "v1.m3u8",
            Self::Audio => "a1.m3u8",
            Self::Muxed => "v1a1.m3u8",
            Self::Ts | Self::TsAes128 => "v1a1.ts.m3u8",
            Self::Peer => "",
        }
    }
}

/// One case.
pub struct Case {
    pub kind: Kind,
    /// Segments of the packager.
    pub targets: Vec<Target>,
    /// The same as files of nginx.
    pub files: Vec<Target>,
    /// What a bare loop would read and send for them.
    pub bare: HashMap<String, Bare>,
    /// Whom to ask, if not the packager.
    pub peer: Option<Peer>,
}

/// Another packager on this machine.
pub struct Peer {
    pub addr: SocketAddr,
    /// What was asked for.
    pub url: String,
    /// Its name in tables.
    label: String,
}

impl Case {
    pub fn name(&self) -> &str {
        self.peer.as_ref().map_or(self.kind.name(), |peer| &peer.label)
    }
}

/// The cases that are asked for, or all, of the packager without and with a key; those that it does
/// not answer are said and left out. Their segments are written below `root`.
///
/// # Errors
/// When the packager fails, or a case that was asked for by name is not answered.
pub fn find(
    wanted: &[Kind],
    ours: &Server,
    sealed: &Server,
    film: &Path,
    root: &Path,
) -> Result<Vec<Case>> {
    let mut clients = [ours, sealed].map(|server| Client::connect(server.addr(Protocol::H1)));
    let name = film.file_stem().and_then(|stem| stem.to_str()).ok_or("the film has no name")?;
    let media = index(film)?;
    let mut cases = Vec::new();
    for kind in Kind::ALL {
        if !wanted.is_empty() && !wanted.contains(&kind) {
            continue;
        }
        let [open, closed] = &mut clients;
        let client = if kind == Kind::TsAes128 { closed } else { open };
        let client = client.as_mut().map_err(|error| error.to_string())?;
        let playlist = client.get(&format!("/{name}/{}", kind.playlist()), true)?;
        let text = String::from_utf8_lossy(&playlist.body).into_owned();
        let encrypted = text.contains("METHOD=AES-128");
        if playlist.status != 200 || encrypted != (kind == Kind::TsAes128) {
            if wanted.contains(&kind) {
                return Err(format!("the packager answers no {}", kind.name()).into());
            }
            println!("{}: not answered, left out", kind.name());
            continue;
        }
        let mut case =
            Case { kind, targets: Vec::new(), files: Vec::new(), bare: HashMap::new(), peer: None };
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        // The last one is shorter.
        let lines: Vec<&str> = lines.collect();
        for (number, line) in lines.iter().take(lines.len().saturating_sub(1)).enumerate() {
            let path = format!("/{name}/{line}");
            let answer = client.get(&path, true)?;
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.status).into());
            }
            let file = format!("/{}/{}", kind.name(), number + 1);
            settle(&root.join(file.trim_start_matches('/')), &answer.body)?;
            if let Some(bare) = bare(&media, kind, number + 1) {
                case.bare.insert(path.clone(), bare);
            }
            case.targets.push(Target { path, bytes: answer.bytes });
            case.files.push(Target { path: file, bytes: answer.bytes });
        }
        if case.targets.is_empty() {
            return Err(format!("{} has no segments", kind.name()).into());
        }
        cases.push(case);
    }
    Ok(cases)
}

/// The case of another packager: of one segment, or of those that a media playlist names but the
/// last, which is shorter. `number` tells several apart.
///
/// # Errors
/// When the URL is no `http://ADDRESS:PORT/…` of this machine, or is not answered 200.
pub fn of_peer(url: &str, number: usize, root: &Path) -> Result<Case> {
    let (addr, path) = local(url)?;
    let mut client = Client::connect(addr)?;
    let mut get = |path: &str| match client.get(path, true) {
        Ok(answer) if answer.status != 200 => Err(format!("{path}: {}", answer.status).into()),
        answer => answer,
    };
    let answer = get(path)?;
    let mut paths = vec![path.to_owned()];
    if answer.body.starts_with(b"#EXTM3U") {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        paths = lines.map(|line| below(path, line)).collect();
        paths.pop();
    }
    let label = format!("peer-{number}");
    let (mut targets, mut files) = (Vec::new(), Vec::new());
    for (number, path) in paths.into_iter().enumerate() {
        let answer = get(&path)?;
        let file = format!("/{label}/{}", number + 1);
        settle(&root.join(file.trim_start_matches('/')), &answer.body)?;
        targets.push(Target { path, bytes: answer.bytes });
        files.push(Target { path: file, bytes: answer.bytes });
    }
    if targets.is_empty() {
        return Err(format!("{url} names no segments").into());
    }
    println!("{label}: {} segments of {url}", targets.len());
    let peer = Some(Peer { addr, url: url.to_owned(), label });
    Ok(Case { kind: Kind::Peer, targets, files, bare: HashMap::new(), peer })
}

/// The address and the path of a URL of this machine.
fn local(url: &str) -> Result<(SocketAddr, &str)> {
    let (authority, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_at_checked(rest.find('/')?))
        .ok_or("--peer must be http://ADDRESS:PORT/PATH")?;
    let addr = authority.replace("localhost", "127.0.0.1").parse();
    Ok((addr.map_err(|_| "--peer needs a port")?, path))
}

/// The path of what a playlist at `path` names; whatever host it names is taken for the playlist's.
fn below(path: &str, reference: &str) -> String {
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    match reference.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None if reference.starts_with('/') => reference.to_owned(),
        None => format!("{folder}{reference}"),
    }
}

/// The film as the packager sees it.
fn index(film: &Path) -> Result<Media> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let source = FileSource::open(film, "film")?;
    let index = runtime.block_on(read_index(&source, Limits::default()))?;
    Ok(Media::new(vec![Arc::new(index)], &Options::default())?)
}

/// The ranges of a segment that is copied from the film; `None` of others.
fn bare(media: &Media, kind: Kind, number: usize) -> Option<Bare> {
    let track = match kind {
        Kind::Video => "v1",
        Kind::Audio => "a1",
        _ => return None,
    };
    let plan = media.segment(track.parse().ok()?, u32::try_from(number).ok()?)?;
    let mut bare = Bare { header: 0, ranges: Vec::new() };
    for part in &plan.parts {
        match part {
            Part::Copy(copy) => {
                bare.ranges.push((copy.range.start, usize::try_from(copy.range.len).ok()?));
            }
            other => bare.header += usize::try_from(other.len()).ok()?,
        }
    }
    Some(bare)
}
