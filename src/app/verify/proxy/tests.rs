use std::io::ErrorKind;

use tokio::time::{Instant, timeout};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// A connection through a network: its two ends.
async fn ends() -> (Proxy, TcpStream, TcpStream) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap()).await.unwrap();
    let client = TcpStream::connect(proxy.address).await.unwrap();
    let (accepted, _) = timeout(LIMIT, server.accept()).await.unwrap().unwrap();
    (proxy, client, accepted)
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0; 64];
    let count = timeout(LIMIT, stream.read(&mut buffer))
        .await
        .expect("it comes in time")?;
    Ok(buffer[..count].to_vec())
}

/// Whether nothing arrives, no end either, for a while.
async fn is_silent(stream: &mut TcpStream) -> bool {
    let reading = stream.read_u8();
    timeout(Duration::from_millis(50), reading).await.is_err()
}

#[tokio::test]
async fn fair_weather_carries_both_directions_and_half_closes() {
    let (_proxy, mut client, mut server) = ends().await;
    client.write_all(b"up").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"up");
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"");
    server.write_all(b"down").await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), b"down");
    drop(server);
    assert_eq!(read(&mut client).await.unwrap(), b"");
}

#[tokio::test]
async fn what_black_weather_held_comes_when_it_is_fair() {
    let (proxy, mut client, mut server) = ends().await;
    proxy.set(Weather::Black);
    client.write_all(b"up").await.unwrap();
    assert!(is_silent(&mut server).await);
    proxy.set(Weather::Fair);
    assert_eq!(read(&mut server).await.unwrap(), b"up");
}

#[tokio::test]
async fn slow_weather_is_late() {
    let (proxy, mut client, mut server) = ends().await;
    let late = Duration::from_millis(80);
    proxy.set(Weather::Slow(late));
    let begun = Instant::now();
    client.write_all(b"up").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"up");
    assert!(begun.elapsed() >= late);
}

#[tokio::test]
async fn a_cut_resets_both_ends() {
    let (proxy, mut client, mut server) = ends().await;
    proxy.set(Weather::Cut);
    for end in [&mut client, &mut server] {
        assert_eq!(
            read(end).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
}

#[tokio::test]
async fn a_client_that_vanished_is_not_told_to_the_gateway() {
    let (proxy, mut client, mut server) = ends().await;
    proxy.set(Weather::Vanished);
    assert_eq!(
        read(&mut client).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(is_silent(&mut server).await);
}

#[tokio::test]
async fn replies_are_cut_as_often_as_was_said() {
    let (proxy, mut client, mut server) = ends().await;
    proxy.cut_replies(1);
    client.write_all(b"question").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"question");
    server.write_all(b"answer").await.unwrap();
    assert!(read(&mut client).await.is_err());
    assert_eq!(proxy.cuts.load(Ordering::Relaxed), 0);
}
