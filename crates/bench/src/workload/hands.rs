//! Many calls of one operation, as fast as a server answers them: what a scene is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use carillon_service::operation::Operation;
use tokio::task::JoinSet;

use super::host::Host;
use super::progress::Progress;
use crate::scene::Remote;
use carillon_server::error::{Error, Result};

/// Connections over which it is called.
const CONNECTIONS: usize = 32;

/// Calls an operation so many times; answers what each was answered, in their order.
pub(crate) async fn call_all<O: Operation<Response: Send>>(
    host: &Host,
    what: &str,
    count: usize,
    operation: impl Fn(usize) -> O + Send + Sync + 'static,
) -> Result<Vec<O::Response>> {
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let operation = Arc::new(operation);
    let _shown = Progress::of(what, &done, u64::try_from(count).ok());
    let mut calling = JoinSet::new();
    for _ in 0..CONNECTIONS.min(count) {
        let (next, done, operation) = (next.clone(), done.clone(), operation.clone());
        let (address, root) = (host.address(), host.root.clone());
        calling.spawn(async move {
            let (mut remote, mut answers) = (Remote::open(address, &root).await?, Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if count <= number {
                    return Ok(answers);
                }
                answers.push((number, remote.call(&operation(number)).await?.0));
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(called) = calling.join_next().await {
        all.extend(called.map_err(|error| Error::failure(format!("a connection ended badly: {error}")))??);
    }
    all.sort_unstable_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, answer)| answer).collect())
}
