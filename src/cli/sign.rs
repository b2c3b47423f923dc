//! `headwater sign`: a token for a path, from a key that an edge verifies by.

use std::net::IpAddr;
use std::path::PathBuf;

use headwater::edge::tokens::{Grant, Key};
use headwater::net::{Clock, Timestamp};
use headwater::proto::config::quantity::Time;

use super::Error;

/// A token for a path.
#[derive(clap::Args)]
#[command(after_help = "\
The token is printed alone. Put it into a URL's query (?token=TOKEN), into its path (/t/TOKEN/…,
where the edge takes tokens from paths), into Authorization: Bearer, or into the cookie
headwater-token. docs/access.md tells of its form, so that others can sign, too.")]
pub(super) struct Args {
    /// What it lets in: a path, or with a / at its end all that is below it
    #[arg(long, value_name = "PATH")]
    path: String,

    /// For how long from now, such as '6 h'
    #[arg(long, value_name = "TIME", conflicts_with = "until", required_unless_present = "until")]
    valid: Option<Time>,

    /// Until when, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    until: Option<u64>,

    /// Only for this client: an IPv4 address, or the network of 64 bits of an IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,

    /// The key's identifier, where it has one
    #[arg(long, value_name = "ID", default_value = "")]
    key_id: String,

    /// The file that holds the secret, at least 32 bytes without space around them
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "key_env",
        required_unless_present = "key_env"
    )]
    key_file: Option<PathBuf>,

    /// The environment variable that holds it
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let secret = super::secret::read(args.key_file.as_deref(), args.key_env.as_deref())?;
    let key = Key::signing(&args.key_id, &secret.unwrap_or_default())?;
    let until = args.until.map(Timestamp::from_secs);
    let valid = args.valid.unwrap_or_default().get();
    let until = until.unwrap_or_else(|| Clock::system().now().plus(valid));
    let grant = Grant::below(&args.path, until)?;
    let grant = match args.address {
        Some(address) => grant.only_for(address),
        None => grant,
    };
    println!("{}", grant.sign(&key)?);
    Ok(())
}
