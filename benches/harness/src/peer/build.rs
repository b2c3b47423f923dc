//! Builds nginx with HTTP/3 from the sources in the crate `nginx-src`, into the cache folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::load::Result;

/// The release of the crate whose sources are built.
const CRATE: &str = "1.28.5";

/// What it is configured with, beside what nginx builds by default.
const OPTIONS: &[&str] = &[
    "--with-http_ssl_module",
    "--with-http_v2_module",
    "--with-http_v3_module",
    "--with-threads",
    "--with-file-aio",
    "--with-http_secure_link_module",
    "--with-pcre-jit",
    "--with-cc-opt=-O2",
];

/// The nginx binary in `cache`, built first if it is not there, or was without an option.
///
/// # Errors
/// When the sources cannot be had, or a tool or library that nginx needs is missing: the message
/// names the log.
pub fn nginx_binary(cache: &Path) -> Result<PathBuf> {
    let home = cache.join(format!("nginx-{CRATE}"));
    let binary = home.join("nginx");
    if has_all(&binary) {
        return Ok(binary);
    }
    let work = home.join("build");
    if work.exists() {
        std::fs::remove_dir_all(&work)?;
    }
    std::fs::create_dir_all(&work)?;
    let sources = fetch(&work)?;
    let tree = work.join("tree");
    run(Command::new("cp").arg("-R").arg(&sources).arg(&tree), &work)?;
    run(Command::new("chmod").args(["-R", "u+w"]).arg(&tree), &work)?;
    let configure = if tree.join("configure").is_file() { "configure" } else { "auto/configure" };
    let mut command = Command::new("sh");
    command.arg(configure).arg(format!("--prefix={}", home.display())).args(OPTIONS);
    run(command.current_dir(&tree), &work)?;
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    run(Command::new("make").arg(format!("-j{jobs}")).current_dir(&tree), &work)?;
    let partial = home.join("nginx.partial");
    std::fs::copy(tree.join("objs/nginx"), &partial)?;
    std::fs::rename(&partial, &binary)?;
    std::fs::remove_dir_all(&work)?;
    Ok(binary)
}

/// Whether a binary is there, and was configured with all of it.
pub fn has_all(binary: &Path) -> bool {
    let said = Command::new(binary).arg("-V").stdin(Stdio::null()).output();
    said.is_ok_and(|said| {
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        OPTIONS.iter().all(|option| said.split_whitespace().any(|one| one == *option))
    })
}

/// Lets cargo fetch the crate, and finds where it put the sources.
fn fetch(work: &Path) -> Result<PathBuf> {
    let scratch = work.join("fetch");
    std::fs::create_dir_all(scratch.join("src"))?;
    std::fs::write(scratch.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [dependencies]\nnginx-src = \"={CRATE}\"\n[workspace]\n"
    );
    std::fs::write(scratch.join("Cargo.toml"), manifest)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .current_dir(&scratch)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("cargo could not fetch the crate nginx-src".into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "nginx-src")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo does not say where nginx-src lies")?;
    let sources = Path::new(manifest).with_file_name("nginx");
    if sources.is_dir() { Ok(sources) } else { Err("nginx-src holds no sources".into()) }
}

/// Runs one step with its output in the build's log.
fn run(command: &mut Command, work: &Path) -> Result<()> {
    let log = work.join("build.log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
    let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status()?;
    if status.success() {
        return Ok(());
    }
    let step = command.get_program().to_string_lossy().into_owned();
    Err(format!("building nginx failed at `{step}`; see {}", log.display()).into())
}
