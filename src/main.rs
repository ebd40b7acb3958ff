//! The `tidings` binary.
#[tokio::main]
async fn main() {
    let mut s = tidings::app::config::Sources::of_process();
    let args: Vec<String> = std::env::args().collect();
    if let Some(i) = args.iter().position(|a| a == "--listen") {
        s.listen = Some(args[i + 1].clone());
    }
    let l = tidings::app::config::load(&s).unwrap();
    let g = tidings::app::gateway::Gateway::start(&l.config)
        .await
        .unwrap();
    println!(
        "tidings listening on http://{} (store: {})",
        g.local_addr(),
        g.store_promise()
    );
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .unwrap()
        .recv()
        .await;
    g.drain().await;
}
