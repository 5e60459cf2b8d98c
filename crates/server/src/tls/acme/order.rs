//! An order of a certificate, from its beginning to the chain: what is said to the authority. Where its answers to
//! challenges are kept, and who may order, is not known here.

use std::time::Duration;

use carillon_model::Timestamp;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType,
    Error as AcmeError, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificate::Answer;
use crate::config::{AcmeSettings, Proof};

/// How long the authority may take over one step of an order.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);
/// What an authority says that does not know an account any more.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no certificate.
pub(super) type Reason = Box<dyn std::error::Error + Send + Sync>;

/// A certificate with its key, both in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Opens the account with these credentials, or a new one, whose credentials are told.
pub(super) async fn open_account(
    settings: &AcmeSettings,
    known: Option<AccountCredentials>,
) -> Result<(Account, Option<AccountCredentials>), Reason> {
    let builder = match &settings.ca_file {
        None => Account::builder()?,
        Some(path) => Account::builder_with_root(path)?,
    };
    if let Some(known) = known {
        return Ok((builder.from_credentials(known).await?, None));
    }
    let contact: Vec<String> = settings.email.iter().map(|email| format!("mailto:{email}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, made) = builder.create(&wanted, settings.directory_url.clone(), None).await?;
    Ok((account, Some(made)))
}

/// What the authority calls a way to prove a name.
pub(super) fn kind(proof: Proof) -> ChallengeType {
    match proof {
        Proof::Http01 => ChallengeType::Http01,
        Proof::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// Whether the authority has forgotten the account, so that another is to be made.
pub(super) fn is_account_gone(reason: &Reason) -> bool {
    let problem = match reason.downcast_ref::<AcmeError>() {
        Some(AcmeError::Api(problem)) => problem.r#type.as_deref(),
        _ => None,
    };
    problem == Some(NO_ACCOUNT)
}

/// Orders a certificate, whose names are proven by the first of these kinds that the authority offers: `publish` makes
/// the answers known to all nodes, before the authority is told to ask.
pub(super) async fn order<F: Future<Output = Result<(), Reason>>>(
    account: &Account,
    domains: &[String],
    kinds: &[ChallengeType],
    publish: impl FnOnce(Vec<Answer>) -> F,
) -> Result<Issued, Reason> {
    let names: Vec<_> = domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let (chosen, answers) = answers(&mut order, kinds).await?;
    if !answers.is_empty() {
        publish(answers).await?;
    }
    let mut authorizations = order.authorizations();
    let mut chosen = chosen.into_iter();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Pending
            && let Some(kind) = chosen.next()
            && let Some(mut challenge) = authorization.challenge(kind)
        {
            challenge.set_ready().await?;
        }
    }
    let patience = RetryPolicy::new().timeout(STEP_TIMEOUT);
    if order.state().status != OrderStatus::Ready && order.poll_ready(&patience).await? != OrderStatus::Ready
    {
        return Err(refusal(&mut order).await);
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    Ok(Issued { chain, key })
}

/// By which kind each name that is to be proven is, and what answers.
async fn answers(
    order: &mut Order,
    kinds: &[ChallengeType],
) -> Result<(Vec<ChallengeType>, Vec<Answer>), Reason> {
    let (mut chosen, mut answers) = (Vec::new(), Vec::new());
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => return Err(format!("an authorization is {status:?}").into()),
        }
        let is_offered =
            |kind: &&ChallengeType| authorization.challenges.iter().any(|one| one.r#type == **kind);
        let kind = kinds.iter().find(is_offered).cloned();
        let kind = kind.ok_or_else(|| format!("the authority offers none of {kinds:?}"))?;
        let challenge =
            authorization.challenge(kind.clone()).ok_or("a challenge that was offered is gone")?;
        answers.push(Answer {
            domain: challenge.identifier().to_string().to_ascii_lowercase(),
            token: challenge.token.clone(),
            authorization: challenge.key_authorization().as_str().to_owned(),
        });
        chosen.push(kind);
    }
    Ok((chosen, answers))
}

/// Which name was not proven, and why.
async fn refusal(order: &mut Order) -> Reason {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let name = state.identifier().to_string();
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(errors.map(|error| format!("{name}: {error}")));
    }
    if reasons.is_empty() {
        reasons.push("the authority refused the order and does not say why".to_owned());
    }
    reasons.join("; ").into()
}

/// When the authority would have this certificate renewed, at `fraction` of the time that it leaves for that, and how
/// long until it is to be asked again; nothing where it has no wish.
pub(super) async fn wish(
    account: &Account,
    chain: &str,
    fraction: f64,
) -> Result<Option<(Timestamp, Duration)>, Reason> {
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes())?;
    let Ok(id) = CertificateIdentifier::try_from(&leaf) else { return Ok(None) };
    let (info, again) = match account.renewal_info(&id).await {
        Err(AcmeError::Unsupported(_)) => return Ok(None),
        told => told?,
    };
    let (start, end) = (info.suggested_window.start, info.suggested_window.end);
    let at = start + (end - start) * fraction;
    Ok(Some((Timestamp::from_ms(at.unix_timestamp().saturating_mul(1000)), again)))
}
