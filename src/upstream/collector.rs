//! A collector of OpenTelemetry that takes traces over HTTP (OTLP with protocol buffers).

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as Kind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use crate::origin::{Span, SpanKind};

/// Why spans did not reach the collector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address cannot be used.
    #[error("`{0}` is no address of a collector: write http://HOST:4318")]
    Address(String),
    /// It did not take them.
    #[error("the collector did not take them: {0}")]
    Refused(String),
}

/// A collector.
pub struct Collector {
    exporter: SpanExporter,
    scope: InstrumentationScope,
}

impl Collector {
    /// The collector at an address, which waits for its answers so long.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(address: &str, timeout: Duration) -> Result<Self, Error> {
        let wrong = || Error::Address(address.to_owned());
        let address = address.trim_end_matches('/');
        let url = reqwest::Url::parse(&format!("{address}/v1/traces")).map_err(|_| wrong())?;
        let client = reqwest::Client::builder().timeout(timeout).build();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(client.map_err(|_| wrong())?))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(timeout)
            .with_endpoint(url)
            .build()
            .map_err(|_| wrong())?;
        let resource = Resource::builder().with_service_name("tidings");
        exporter.set_resource(&resource.build());
        let scope =
            InstrumentationScope::builder("tidings").with_version(env!("CARGO_PKG_VERSION"));
        Ok(Self {
            exporter,
            scope: scope.build(),
        })
    }

    /// Sends spans.
    ///
    /// # Errors
    /// When they were not taken; they are lost then.
    pub async fn send(&self, spans: Vec<Span>) -> Result<(), Error> {
        let spans = spans.into_iter().map(|span| self.told(span)).collect();
        let sent = self.exporter.export(spans).await;
        sent.map_err(|error| Error::Refused(error.to_string()))
    }

    fn told(&self, span: Span) -> SpanData {
        let facts = span.facts.into_iter();
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(span.own.trace.to_be_bytes()),
                SpanId::from_bytes(span.own.span.to_be_bytes()),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: span.above.map_or(SpanId::INVALID, |above| {
                SpanId::from_bytes(above.to_be_bytes())
            }),
            parent_span_is_remote: span.kind == SpanKind::Server,
            span_kind: match span.kind {
                SpanKind::Server => Kind::Server,
                SpanKind::Internal => Kind::Internal,
                SpanKind::Producer => Kind::Producer,
            },
            name: span.name.into(),
            start_time: span.began,
            end_time: span.began + span.took,
            attributes: facts
                .map(|(key, value)| KeyValue::new(key, value))
                .collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// Our HTTP client, as the exporter asks for one.
#[derive(Debug)]
struct Client(reqwest::Client);

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(answer.headers());
            }
            Ok(response.body(answer.bytes().await?)?)
        })
    }
}
