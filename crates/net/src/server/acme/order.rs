//! What the authority is asked: for an account (RFC 8555 §7.3), for a certificate (§7.4), from the names
//! through whatever it wants to see, and for when it wants that renewed (RFC 9773).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    ExternalAccountKey, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{Der, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::AcmeChallenge;
use super::challenges::{Challenges, Open};
use super::external::ExternalAccount;
use crate::Timestamp;
use crate::authority::Asks;
use crate::server::tls::{known_by, provider};

/// When an authority is asked again that tells nothing of renewals.
const NOTHING_TOLD: Duration = Duration::from_secs(86_400);
/// The problem of who asks too much (RFC 8555 §6.7).
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";

/// How long the authority may take to look, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));

/// Why there is no certificate, in a sentence for the log.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The account that was kept.
pub(super) async fn known_account(asks: Asks, kept: &[u8]) -> Result<Account, Failure> {
    let credentials: AccountCredentials = serde_json::from_slice(kept)
        .map_err(|error| format!("the file of the account is damaged: {error}"))?;
    Ok(Account::builder_with_http(Box::new(asks)).from_credentials(credentials).await?)
}

/// A new account, and what is to be kept of it.
pub(super) async fn new_account(
    asks: Asks,
    directory: String,
    contacts: &[String],
    external: Option<&ExternalAccount>,
) -> Result<(Account, Vec<u8>), Failure> {
    let contact: Vec<&str> = contacts.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let bound = external.map(|of| ExternalAccountKey::new(of.id().to_owned(), of.key()));
    let builder = Account::builder_with_http(Box::new(asks));
    let (account, credentials) = builder.create(&new, directory, bound.as_ref()).await?;
    let kept = serde_json::to_vec(&credentials)?;
    Ok((account, kept))
}

/// By what an authority knows a certificate of its own again; `None` where that does not say who
/// signed it.
pub(super) fn identifier(leaf: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let (signer, serial) = known_by(leaf)?;
    Some(CertificateIdentifier::new(Der::from_slice(signer), Der::from_slice(serial)))
}

/// What an authority told of a renewal.
#[derive(Debug)]
pub(super) struct Told {
    /// When it is to be; `None` where the authority tells nobody.
    pub(super) window: Option<Range<Timestamp>>,
    /// After what time to ask again.
    pub(super) again: Duration,
}

impl Told {
    /// By an authority that tells nobody.
    pub(super) const fn nothing() -> Self {
        Self { window: None, again: NOTHING_TOLD }
    }
}

/// Asks when a certificate is to be renewed (RFC 9773 §4.1).
pub(super) async fn renewal(
    account: &Account,
    of: &CertificateIdentifier<'_>,
) -> Result<Told, Failure> {
    let (info, again) = match account.renewal_info(of).await {
        Ok(told) => told,
        Err(Error::Unsupported(_)) => return Ok(Told::nothing()),
        Err(error) => return Err(error.into()),
    };
    let at = |seconds: i64| Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0));
    let window = info.suggested_window;
    let window = at(window.start.unix_timestamp())..at(window.end.unix_timestamp());
    if window.is_empty() {
        return Err("the authority tells a window that ends before it begins".into());
    }
    if let Some(url) = info.explanation_url {
        tracing::info!(%url, "the authority explains when a certificate is to be renewed");
    }
    Ok(Told { window: Some(window), again })
}

/// Begins an order. An authority may refuse to have it take the place of `replaced` (RFC 9773 §5), which
/// another order may have done, or another account: then it takes nobody's.
async fn begin(
    account: &Account,
    identifiers: &[Identifier],
    replaced: Option<CertificateIdentifier<'_>>,
) -> Result<instant_acme::Order, Error> {
    let Some(replaced) = replaced else {
        return account.new_order(&NewOrder::new(identifiers)).await;
    };
    match account.new_order(&NewOrder::new(identifiers).replaces(replaced)).await {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(RATE_LIMITED) => {
            Err(Error::Api(problem))
        }
        Err(error) => {
            tracing::debug!(%error, "an order that replaces no certificate");
            account.new_order(&NewOrder::new(identifiers)).await
        }
        begun => begun,
    }
}

/// Orders a certificate for `names`, in the place of another, if there is one; gives its chain and its
/// key as one PEM text.
pub(super) async fn order(
    account: &Account,
    names: &[String],
    replaced: Option<CertificateIdentifier<'_>>,
    by: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Vec<u8>, Failure> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = begin(account, &identifiers, replaced).await?;
    // Open until the order is decided.
    let mut open: Vec<Open> = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            status => return Err(format!("an authorization is {status:?} from the start").into()),
        }
        let (kind, called) = match by {
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
        };
        let none = || format!("the authority does not take {called}");
        let mut challenge = authorization.challenge(kind).ok_or_else(none)?;
        let answer = challenge.key_authorization();
        let name = match challenge.identifier().identifier {
            Identifier::Dns(name) => name.clone(),
            _ => return Err("the authority asks for something else than a name".into()),
        };
        open.push(match by {
            AcmeChallenge::Http01 => challenges.text(&challenge.token, answer.as_str()),
            AcmeChallenge::TlsAlpn01 => {
                let shown = shown(&name, answer.digest().as_ref())?;
                challenges.certificate(&name, Arc::new(shown))
            }
        });
        challenge.set_ready().await?;
    }
    let status = order.poll_ready(&PATIENCE).await?;
    if status != OrderStatus::Ready {
        return Err(why_not(&mut order).await);
    }
    drop(open);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(format!("{}\n{}", chain.trim_end(), key.serialize_pem()).into_bytes())
}

/// What the authority says of an order that came to nothing.
async fn why_not(order: &mut instant_acme::Order) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let said = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = said {
            return problem.to_string().into();
        }
    }
    "the authority refused the order".into()
}

/// The certificate that shows the answer to a question about `name` (RFC 8737 §3).
fn shown(name: &str, digest: &[u8]) -> Result<CertifiedKey, Failure> {
    if digest.len() != 32 {
        return Err("a digest that is no SHA-256".into());
    }
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    let private = PrivateKeyDer::try_from(key.serialize_der())?;
    // Not `from_der`, which knows nothing of that extension, and refuses what is critical.
    let key = provider().key_provider.load_private_key(private)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
