//! Traces: what a request, a transaction or a call of something outside took, told to a collector by OTLP where
//! `OTEL_EXPORTER_OTLP_ENDPOINT` says where one is. All that is known of OpenTelemetry stands here.
//!
//! Spans have a target of their own, [`TRACE`], which logs leave out; where nobody collects them a span is a look at a
//! flag, and nothing is made. What is collected goes through our own HTTP client, on the thread of the exporter, which
//! holds up nobody: spans that it cannot keep up with are dropped.

use std::collections::HashMap;
use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use carillon_meter::TRACE;
use carillon_service::front::request::Answered;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Runtime;
use tracing::instrument::Instrumented;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Level, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::{Error, Result};

/// Where a collector is, for traces or for all that is collected.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// By which protocol, likewise.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// What a server is called, where `OTEL_SERVICE_NAME` says nothing else.
const SERVICE_NAME: &str = "carillon";
/// How long the collector may take for what it is sent,
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// and how long the last may take before the process ends.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// What gRPC calls.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Before each message of gRPC: whether it is compressed, and its length.
const GRPC_HEAD_BYTES: usize = 5;

/// Where spans are kept until they are sent.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What takes the spans of a subscriber, where there is a collector.
pub(crate) fn collector<S>() -> Result<Option<Box<dyn Layer<S> + Send + Sync>>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    if first_of(ENDPOINTS).is_none() {
        return Ok(None);
    }
    let failed = |words: String| Error::failure(format!("traces cannot be collected: {words}"));
    let is_grpc = match first_of(PROTOCOLS).as_deref() {
        None | Some("http/protobuf") => false,
        Some("grpc") => true,
        Some(other) => {
            let words = format!("OTEL_EXPORTER_OTLP_PROTOCOL is {other}");
            return Err(Error::usage(words).hint("Traces are sent by http/protobuf or by grpc."));
        }
    };
    let client = Client::new(is_grpc).map_err(failed)?;
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let exporter = exporter.with_http_client(client).build().map_err(|error| failed(error.to_string()))?;
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(SERVICE_NAME);
    }
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE_NAME))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    let _ = PROVIDER.set(provider); // Logs begin once.
    carillon_targets::trace::continued_by(traceparent);
    let spans = Targets::new().with_target(TRACE, LevelFilter::INFO);
    Ok(Some(layer.with_filter(spans).boxed()))
}

/// The same filter, without spans.
pub(crate) fn left_out_of(filter: EnvFilter) -> EnvFilter {
    filter.add_directive(format!("{TRACE}=off").parse().expect("a target and a level are a directive"))
}

/// Sends what is still kept. It waits, and so must not be called on the runtime.
pub(crate) fn end() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(END_TIMEOUT)
    {
        tracing::warn!(%error, "the last traces were not sent");
    }
}

fn first_of(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The span of a request, in the trace that it says it belongs to.
pub(crate) fn of_request(headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TRACE,
        "request",
        otel.kind = "server",
        otel.status_code = field::Empty,
        operation = field::Empty,
        code = field::Empty,
        request_id = field::Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Who hears of it while traces end, has none.
        let _ = span.set_parent(parent);
    }
    span
}

/// What a request was, and how it ended.
pub(crate) fn answered(
    span: &Span,
    Answered { operation, code }: Answered,
    response: &HeaderMap,
    status: StatusCode,
) {
    if span.is_disabled() {
        return;
    }
    // A span that has begun gets no new name by its fields.
    span.context().span().update_name(operation);
    span.record("operation", operation).record("code", code);
    if let Some(id) = response.get("x-amzn-requestid").and_then(|id| id.to_str().ok()) {
        span.record("request_id", id);
    }
    if status.is_server_error() {
        span.record("otel.status_code", "error");
    }
}

/// The span of a call of something outside, for one kind of consumer.
pub(crate) fn of_call(consumer: &'static str, rows: usize) -> Span {
    tracing::info_span!(
        target: TRACE,
        "call",
        otel.kind = "client",
        otel.name = consumer,
        otel.status_code = field::Empty,
        rows = i64::try_from(rows).unwrap_or(i64::MAX),
    )
}

/// How such a call ended.
pub(crate) fn called(span: &Span, is_taken: bool) {
    span.record("otel.status_code", if is_taken { "ok" } else { "error" });
}

/// Goes on with what is traced here in a task of its own.
pub(crate) fn carried<F: Future>(work: F) -> Instrumented<F> {
    let is_traced = tracing::span_enabled!(target: TRACE, Level::INFO);
    work.instrument(if is_traced { Span::current() } else { Span::none() })
}

/// Where in a trace we are, as others are told.
fn traceparent() -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    headers.remove("traceparent")
}

/// Sends to the collector, on the thread that asks for it, which is no thread of our runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Runtime,
    is_grpc: bool,
    /// What could not be sent is said once, until something can.
    is_away: AtomicBool,
}

impl Client {
    fn new(is_grpc: bool) -> std::result::Result<Self, String> {
        let builder = reqwest::Client::builder().timeout(EXPORT_TIMEOUT);
        let builder = if is_grpc { builder.http2_prior_knowledge() } else { builder };
        let http = builder.build().map_err(|error| format!("no HTTP client: {error}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        Ok(Self { http, runtime, is_grpc, is_away: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let request = if self.is_grpc { framed(request)? } else { request };
        let answer = self.http.execute(request.try_into()?).await?;
        let (parts, body) = Response::<reqwest::Body>::from(answer).into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let mut response = Response::from_parts(parts, body.to_bytes());
        if self.is_grpc {
            unframe(&mut response, &trailers);
        }
        Ok(response)
    }

    fn note(&self, why_not: Option<&str>) {
        match (self.is_away.swap(why_not.is_some(), Ordering::Relaxed), why_not) {
            (false, Some(error)) => tracing::warn!(error, "the collector does not take traces"),
            (true, None) => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.block_on(self.send(request));
        match &sent {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => self.note(Some(response.status().as_str())),
            Err(error) => self.note(Some(&error.to_string())),
        }
        sent
    }
}

/// The same message as gRPC calls with it: a length before it, and the method for a path.
fn framed(request: Request<Bytes>) -> std::result::Result<Request<Bytes>, HttpError> {
    let (mut parts, message) = request.into_parts();
    let mut uri = parts.uri.into_parts();
    uri.path_and_query = Some(GRPC_PATH.parse()?);
    parts.uri = Uri::from_parts(uri)?;
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let mut body = BytesMut::with_capacity(GRPC_HEAD_BYTES + message.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len())?);
    body.put(message);
    Ok(Request::from_parts(parts, body.freeze()))
}

/// What gRPC answered, as HTTP would: its status stands in the trailers, or in the headers where there is no more.
fn unframe(response: &mut Response<Bytes>, trailers: &HeaderMap) {
    let status = trailers.get("grpc-status").or_else(|| response.headers().get("grpc-status"));
    let status = status.and_then(|status| status.to_str().ok()).unwrap_or_default();
    *response.status_mut() = match (response.status(), status) {
        (StatusCode::OK, "0") => StatusCode::OK,
        // Resources are exhausted, or it is unavailable: that passes.
        (StatusCode::OK, "8" | "14") => StatusCode::SERVICE_UNAVAILABLE,
        (StatusCode::OK, _) => StatusCode::BAD_REQUEST,
        (other, _) => other,
    };
    let body = response.body();
    *response.body_mut() = body.slice(body.len().min(GRPC_HEAD_BYTES)..);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_framed_as_grpc_has_it() {
        let request =
            Request::post("http://collector:4317/v1/traces").body(Bytes::from_static(b"abc")).unwrap();
        let framed = framed(request).unwrap();
        assert_eq!(framed.uri().to_string(), format!("http://collector:4317{GRPC_PATH}"));
        assert_eq!(framed.body().as_ref(), b"\0\0\0\0\x03abc");
    }

    #[test]
    fn the_status_of_grpc_is_one_of_http() {
        for (trailer, header, due) in [
            (Some("0"), None, 200),
            (Some("14"), None, 503),
            (None, Some("8"), 503),
            (None, Some("16"), 400),
            (None, None, 400),
        ] {
            let mut response = Response::new(Bytes::from_static(b"\0\0\0\0\0"));
            let mut trailers = HeaderMap::new();
            trailer.map(|status| trailers.insert("grpc-status", HeaderValue::from_static(status)));
            header
                .map(|status| response.headers_mut().insert("grpc-status", HeaderValue::from_static(status)));
            unframe(&mut response, &trailers);
            assert_eq!((response.status().as_u16(), response.body().len()), (due, 0));
        }
    }
}
