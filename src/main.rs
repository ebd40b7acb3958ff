//! The `tidings` binary.
#[tokio::main]
async fn main() {
    let mut t: toml::Table = toml::from_str(include_str!("../config/tidings.toml")).unwrap();
    if let Ok(v) = std::env::var("PING") { t["face"]["socketio"]["ping_interval"] = v.clone().into(); t["face"]["socketio"]["ping_timeout"] = v.into(); }
    if let Ok(v) = std::env::var("PORT") { t["wire"]["listen"] = format!("127.0.0.1:{v}").into(); }
    let c: tidings::app::config::Config = t.try_into().unwrap();
    let g = tidings::app::gateway::Gateway::start(&c).await.unwrap();
    println!("listening {}", g.local_addr());
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap().recv().await;
    println!("drained {}", g.drain().await);
}
