//! app
pub mod gateway;
pub mod config {
 //! tmp
 use serde::*;
 /// c
 #[derive(Deserialize,Clone)] pub struct Config { /// a
 pub wire: crate::wire::Config, /// a
 pub store: crate::store::Config, /// a
 pub hub: crate::hub::Config, /// a
 pub face: Face, /// a
 pub drain: crate::drain::Config }
 /// f
 #[derive(Deserialize,Clone)] pub struct Face { /// a
 pub socketio: crate::face::socketio::Config }
}
pub mod router {
 //! tmp
 use super::config::Config; use crate::{hub::*, drain::*, topic::*};
 use axum::*; use axum::extract::*; use axum::routing::*;
 /// r
 pub fn router(_c:&Config, hub:&Hub, _d:&Drain, _r: prometheus_client::registry::Registry) -> Router {
  Router::new().route("/v1/topics/{topic}/events", post(|State(hub):State<Hub>, Path(t):Path<String>, b: bytes::Bytes| async move {
    #[derive(serde::Deserialize)] struct B { name:String, data: Option<Box<serde_json::value::RawValue>>, data_base64: Option<String> }
    let b: B = serde_json::from_slice(&b).map_err(|e| (http::StatusCode::BAD_REQUEST, e.to_string()))?;
    let d = match b.data_base64 { Some(x) => { use base64::Engine; Draft::binary(t.parse().unwrap(), b.name.parse().unwrap(), base64::engine::general_purpose::STANDARD.decode(x).unwrap().into()) }, None => Draft::json(t.parse().unwrap(), b.name.parse().unwrap(), b.data.unwrap().get()) };
    let d = d.map_err(|e| (http::StatusCode::UNPROCESSABLE_ENTITY, e.to_string()))?;
    hub.append(d, None).await.map(Json).map_err(|e| (http::StatusCode::UNPROCESSABLE_ENTITY, e.to_string()))
  })).with_state(hub.clone())
 }
 /// c
 pub fn cors<S>(_c:&Config, s:S) -> tower_http::cors::Cors<S> { tower::Layer::layer(&tower_http::cors::CorsLayer::permissive(), s) }
}
