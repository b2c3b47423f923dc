//! One order (RFC 8555 §7.4): from the names to a certificate, through whatever the authority asks.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::AcmeChallenge;
use super::challenges::{Challenges, Open};
use crate::authority::Asks;
use crate::server::tls::provider;

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
) -> Result<(Account, Vec<u8>), Failure> {
    let contact: Vec<&str> = contacts.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_http(Box::new(asks));
    let (account, credentials) = builder.create(&new, directory, None).await?;
    let kept = serde_json::to_vec(&credentials)?;
    Ok((account, kept))
}

/// Orders a certificate for `names`; gives its chain and its key as one PEM text.
pub(super) async fn order(
    account: &Account,
    names: &[String],
    by: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Vec<u8>, Failure> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
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
