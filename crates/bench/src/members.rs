//! Makes many users, and members of a channel, as fast as the server lets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::batch_create_channel_membership::BatchCreateChannelMembership;
use tokio::task::JoinSet;

use super::scene::{Remote, text};
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};

/// Connections that make users.
const CONNECTIONS: usize = 32;
/// Members that one request adds.
const BATCH_LEN: usize = 100;

/// Makes this many users.
pub(crate) async fn make(
    address: SocketAddr,
    root: &RootKey,
    instance: &AppInstanceArn,
    count: usize,
) -> Result<Vec<IdentityArn>> {
    let (next, mut making) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..CONNECTIONS.min(count) {
        let (next, root, instance) = (next.clone(), root.clone(), instance.clone());
        making.spawn(async move {
            let mut remote = Remote::open(address, &root).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if count <= number {
                    return Ok(());
                }
                remote.call(&user(&instance, number)).await?;
            }
        });
    }
    while let Some(made) = making.join_next().await {
        made.map_err(|error| Error::failure(format!("a connection ended badly: {error}")))??;
    }
    Ok((0..count).map(|number| instance.user(&name(number))).collect())
}

fn name(number: usize) -> String {
    format!("member-{number}")
}

fn user(instance: &AppInstanceArn, number: usize) -> CreateAppInstanceUser {
    CreateAppInstanceUser {
        app_instance_arn: instance.clone(),
        app_instance_user_id: text(&name(number)),
        name: text(&name(number)),
        metadata: None,
        client_request_token: text(&name(number)),
        tags: None,
        expiration_settings: None,
    }
}

/// Adds these users to a channel.
pub(crate) async fn add(
    remote: &mut Remote<'_>,
    channel: &ChannelArn,
    by: &IdentityArn,
    users: &[IdentityArn],
) -> Result<()> {
    for some in users.chunks(BATCH_LEN) {
        let create = BatchCreateChannelMembership {
            channel_arn: channel.clone(),
            kind: None,
            member_arns: some.to_vec(),
            chime_bearer: by.clone(),
            sub_channel_id: None,
        };
        let (created, _) = remote.call(&create).await?;
        if created.errors.is_some_and(|errors| !errors.is_empty()) {
            return Err(Error::failure("some members could not be added"));
        }
    }
    Ok(())
}
