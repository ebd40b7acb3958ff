//! The network between a node and Redis, which can be taken away: nothing passes, and nobody is told.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Network {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

/// What becomes of what is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    is_cut: bool,
    /// Connections of an earlier age are reset.
    age: u64,
}

impl Network {
    /// A network before a server on this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State {
            is_cut: false,
            age: 0,
        }));
        let told = Arc::clone(&state);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the runtime of the test"
        )]
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let told = told.subscribe();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else {
                        return;
                    };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    let age = told.borrow().age;
                    let mut over = told.clone();
                    tokio::select! {
                        () = pass(near_in, far_out, told.clone()) => {}
                        () = pass(far_in, near_out, told) => {}
                        _ = over.wait_for(|state| state.age != age) => {}
                    }
                });
            }
        });
        Self { port: own, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.is_cut = true);
    }

    /// New connections get through; those that were cut are reset.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| {
            state.is_cut = false;
            state.age += 1;
        });
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut told: watch::Receiver<State>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if told.wait_for(|state| !state.is_cut).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
