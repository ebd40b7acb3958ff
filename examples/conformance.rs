//! The shim before servers that do what the protocol suites of Engine.IO 4 and Socket.IO 5 expect.
//!
//! `/engine.io/` echoes every Engine.IO message. `/socket.io/` has the namespaces `/` and `/custom`:
//! the first event to each socket is `auth` with the CONNECT payload, `message` comes back as
//! `message-back`, `message-with-ack` as its acknowledgement, with all arguments. PORT (3000)
//! chooses the port.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use engineioxide::config::EngineIoConfig;
use engineioxide::handler::EngineIoHandler;
use engineioxide::service::EngineIoService;
use engineioxide::{DisconnectReason, Socket, Str};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use socketioxide::SocketIoBuilder;
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use tokio::net::TcpListener;
use tower::service_fn;

use tidings::cluster::Nodes;
use tidings::drain::Drain;
use tidings::face::socketio::shim::{Bounds, Language, Settings, Shim, Wire};
use tidings::wire::{self, Deadline, Outboxes};

const PING_INTERVAL: Duration = Duration::from_millis(300);
const PING_TIMEOUT: Duration = Duration::from_millis(200);
const PAYLOAD_BYTES_MAX: u64 = 1_000_000;
/// Most echoes that wait for one client.
const ECHOES_MAX: usize = 4096;
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);

/// All arguments of an event or acknowledgement, binary ones included.
struct Arguments(Vec<rmpv::Value>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Arguments;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("arguments")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Arguments, A::Error> {
                let mut arguments = Vec::new();
                while let Some(argument) = seq.next_element()? {
                    arguments.push(argument);
                }
                Ok(Arguments(arguments))
            }
        }

        deserializer.deserialize_tuple(usize::MAX, Visitor)
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for argument in &self.0 {
            tuple.serialize_element(argument)?;
        }
        tuple.end()
    }
}

#[derive(Debug)]
struct Echo;

impl EngineIoHandler for Echo {
    type Data = ();

    fn on_connect(self: Arc<Self>, _: Arc<Socket<()>>) {}

    fn on_disconnect(&self, _: Arc<Socket<()>>, _: DisconnectReason) {}

    fn on_message(self: &Arc<Self>, message: Str, socket: Arc<Socket<()>>) {
        // A client whose queue is full is about to be closed by its ping.
        let _ = socket.emit(message);
    }

    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<Socket<()>>) {
        let _ = socket.emit_binary(data);
    }
}

async fn greet(socket: SocketRef, TryData(auth): TryData<rmpv::Value>) {
    let auth = auth.unwrap_or_else(|_| rmpv::Value::Map(Vec::new()));
    let _ = socket.emit("auth", &auth);
}

fn listen(socket: &SocketRef) {
    socket.on(
        "message",
        |socket: SocketRef, TryData(data): TryData<Arguments>| {
            if let Ok(data) = data {
                let _ = socket.emit("message-back", &data);
            }
            ready(())
        },
    );
    socket.on(
        "message-with-ack",
        |TryData(data): TryData<Arguments>, ack: AckSender| {
            if let Ok(data) = data {
                let _ = ack.send(&data);
            }
            ready(())
        },
    );
}

fn settings(language: Language) -> Settings {
    Settings {
        ping_interval: PING_INTERVAL,
        upgrade_timeout: UPGRADE_TIMEOUT,
        payload_bytes_max: usize::try_from(PAYLOAD_BYTES_MAX).unwrap_or(usize::MAX),
        posted_packets_max: 512,
        bounds: Bounds {
            message_bytes_max: PAYLOAD_BYTES_MAX,
            attachments_max: 10,
        },
        language,
        nodes: Nodes::alone(),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let defaults: toml::Table = toml::from_str(include_str!("../config/tidings.toml"))?;
    let mut config: wire::Config = defaults["wire"].clone().try_into()?;
    #[expect(clippy::disallowed_methods, reason = "an example has no config")]
    if let Ok(port) = std::env::var("PORT") {
        config
            .listen
            .set_port(port.parse().context("PORT is no port")?);
    }
    let config = Arc::new(config);
    let drain = Drain::new();
    let mut registry = Registry::default();
    let outboxes = Outboxes::watch(config.write_stall_max, &drain, &mut registry);
    let floor = Wire {
        config: Arc::clone(&config),
        outboxes,
        drain: drain.clone(),
    };

    let engine_config = EngineIoConfig::builder()
        .req_path("/engine.io")
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .max_payload(PAYLOAD_BYTES_MAX)
        .max_buffer_size(ECHOES_MAX)
        .build();
    let echo = EngineIoService::with_config(Arc::new(Echo), engine_config);
    let echo = Shim::new(echo, settings(Language::EngineIo), floor.clone());

    let (service, io) = SocketIoBuilder::new()
        .req_path("/socket.io")
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .max_payload(PAYLOAD_BYTES_MAX)
        .max_buffer_size(ECHOES_MAX)
        .connect_timeout(Duration::from_secs(1))
        .build_svc();
    for namespace in ["/", "/custom"] {
        let before = |socket: SocketRef| {
            listen(&socket);
            ready(Ok::<(), Infallible>(()))
        };
        io.ns(namespace, greet.with(before));
    }
    let socketio = Shim::new(service, settings(Language::SocketIo), floor);

    let answer = service_fn(move |request: Request<Deadline<Incoming>>| {
        let (echo, socketio) = (echo.clone(), socketio.clone());
        async move {
            let path = request.uri().path();
            Ok::<_, Infallible>(if path.starts_with("/engine.io") {
                echo.respond(request).await
            } else if path.starts_with("/socket.io") {
                socketio.respond(request).await
            } else {
                let mut response = Response::new(axum::body::Body::empty());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            })
        }
    });
    let listener = TcpListener::bind(config.listen).await?;
    #[expect(clippy::print_stdout, reason = "whoever starts it waits for this line")]
    {
        println!("conformance listening on http://{}", listener.local_addr()?);
    }
    let metrics = wire::Metrics::register(&mut registry);
    let told = (drain, metrics, wire::Gate::open());
    wire::serve(listener, config, answer, told).await;
    Ok(())
}
