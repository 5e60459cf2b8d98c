//! What a server tells of its inside to whoever signs and may know it: its audit log, and how its processors are. The
//! console asks here.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use carillon_service::front::request::Signed;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::body::Unread;
use super::{Front, newest};
use crate::answer::{Refusal, json as answer, last};
use crate::flows::Flows;

/// What is told of.
pub(crate) struct Inside {
    /// Who calls processors.
    pub(crate) flows: Arc<Flows>,
    /// Where the newest lines of the audit log are, file by file; nowhere, where there is none.
    pub(crate) audit: Vec<PathBuf>,
}

const NO_LOG: Refusal = Refusal {
    status: StatusCode::NOT_FOUND,
    exception: "NotFoundException",
    code: "NotFound",
    message: "No audit log is kept in a file: [audit] of the configuration turns it on",
};
const NOT_READ: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    exception: "ServiceFailureException",
    code: "ServiceFailure",
    message: "It could not be read",
};

/// The newest lines of the audit log, the newest first. Action: `carillon:ReadAuditLog`.
pub(super) async fn audit(State(front): State<Arc<Front>>, request: Request) -> Response {
    admitted(&front, request, "ReadAuditLog", async |front| {
        let files = front.inside.audit.clone();
        if files.is_empty() {
            return Err(NO_LOG);
        }
        let read = tokio::task::spawn_blocking(move || newest::read(&files)).await;
        match read.map_err(std::io::Error::other).flatten() {
            Ok(lines) => Ok(answer(StatusCode::OK, &json!({ "Lines": lines }))),
            Err(error) => {
                tracing::error!(%error, "the audit log could not be read");
                Err(NOT_READ)
            }
        }
    })
    .await
}

/// The functions that flows call, and how each is. Action: `carillon:ListProcessors`.
pub(super) async fn processors(State(front): State<Arc<Front>>, request: Request) -> Response {
    admitted(&front, request, "ListProcessors", async |front| match front.inside.flows.processors().await {
        Ok(processors) => Ok(answer(StatusCode::OK, &json!({ "Processors": processors }))),
        Err(error) => {
            tracing::warn!(%error, "the processors could not be read");
            Err(NOT_READ)
        }
    })
    .await
}

/// What is told, to whoever may do this.
async fn admitted(
    front: &Front,
    request: Request,
    action: &str,
    tell: impl AsyncFnOnce(&Front) -> Result<Response, Refusal>,
) -> Response {
    let (parts, body) = request.into_parts();
    let unread = Unread::new(&parts.headers, body);
    let mut response = if let Err(refused) = front.service.admit_own(&parts, action).await {
        refused.map(Body::from)
    } else {
        let told = tell(front).await;
        let mut response = told.unwrap_or_else(|refusal| refusal.answer(&front.service.new_id()));
        response.extensions_mut().insert(Signed);
        response
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if unread.is_left() {
        unread.discard();
        return last(response);
    }
    response
}
