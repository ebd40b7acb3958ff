//! Bounds of an address: whoever comes from another does not notice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// An address of this machine that is not its loopback, if it has one.
fn own_address() -> Option<IpAddr> {
    let networks = sysinfo::Networks::new_with_refreshed_list();
    let addresses = networks
        .values()
        .flat_map(sysinfo::NetworkData::ip_networks);
    addresses
        .map(|network| network.addr)
        .find(|address| address.is_ipv4() && !address.is_loopback())
}

/// The first line of the answer to a request, and the socket that it came by.
async fn first_line(at: SocketAddr) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(at).await.unwrap();
    // One that is refused may be closed before it is written to.
    let _ = tcp
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let mut said = vec![0; 512];
    let read = tokio::time::timeout(DEADLINE, tcp.read(&mut said)).await;
    let length = read.expect("it is answered in time").unwrap_or(0);
    let said = String::from_utf8_lossy(&said[..length]).into_owned();
    (tcp, said)
}

#[tokio::test]
async fn the_sockets_of_an_address_have_a_bound_that_no_other_address_notices() {
    // Loopback is not counted: only a machine that has another address can show this.
    let Some(address) = own_address() else {
        return;
    };
    let guarded =
        Guarded::start(&["wire.listen=0.0.0.0:0", "limit.sockets_per_address_max=2"]).await;
    let port = guarded.gateway.local_addr().port();
    let own = SocketAddr::new(address, port);
    let (_first, said) = first_line(own).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (second, said) = first_line(own).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (_, said) = first_line(own).await;
    assert!(said.starts_with("HTTP/1.1 429"), "{said}");
    assert!(said.contains("limit.sockets_per_address_max"), "{said}");
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let (_, said) = first_line(loopback).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");

    drop(second);
    let freed = async { while !first_line(own).await.1.starts_with("HTTP/1.1 200") {} };
    tokio::time::timeout(DEADLINE, freed)
        .await
        .expect("the place is given back");
    guarded.gateway.drain().await;
}
