//! The server that `--compare` compares with: socketioxide and axum as their documentation shows
//! them, with the words of the session application. It has no log, no numbers and no rights.

use std::net::Ipv4Addr;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::net::TcpListener;

use crate::app::screen::say;

#[derive(Deserialize)]
struct Entry {
    name: String,
    data: Value,
}

/// Serves at a free port of loopback, told on standard output, until the process ends.
pub(super) async fn serve() -> anyhow::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("subscribe", subscribe);
    });
    let router = Router::new()
        .route("/v1/topics/{topic}/events", post(publish))
        .with_state(io)
        .layer(layer);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    say(&format!(
        "plain server listening on http://{}",
        listener.local_addr()?
    ))?;
    Ok(axum::serve(listener, router).await?)
}

async fn subscribe(socket: SocketRef, Data(session): Data<String>) {
    socket.join(format!("session:{session}"));
    let _ = socket.emit("subscribed", &json!({"sessionId": session}));
}

async fn publish(
    State(io): State<SocketIo>,
    Path(topic): Path<String>,
    Json(entry): Json<Entry>,
) -> Json<Value> {
    let _ = io.to(topic.clone()).emit(entry.name, &entry.data).await;
    Json(json!({
        "topic": topic, "seq": 0, "epoch": "", "id": "", "timestamp": "", "subscribers": 0,
    }))
}
