//! A gateway in this process, and connections to it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use tidings::app::config::{Sources, load};
use tidings::app::gateway::Gateway;
use tokio::runtime::Runtime;

/// Longest that an answer is waited for; a slower one is not what is looked for here.
const LIMIT: Duration = Duration::from_secs(2);

struct Running {
    _runtime: Runtime,
    address: SocketAddr,
}

fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        // A panic in a task is a finding as well.
        std::panic::set_hook(Box::new(|panic| {
            eprintln!("{panic}");
            std::process::abort();
        }));
        let runtime = Runtime::new().expect("a runtime");
        let sources = Sources {
            listen: Some("127.0.0.1:0".to_owned()),
            set: ["wire.header_timeout=1s", "wire.body_timeout=1s", "store.bytes_max=64MiB"]
                .map(str::to_owned)
                .to_vec(),
            ..Sources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        let gateway = runtime.block_on(Gateway::start(&loaded.config)).expect("a gateway");
        let address = gateway.local_addr();
        // It goes on until the process ends.
        std::mem::forget(gateway);
        Running { _runtime: runtime, address }
    })
}

/// Says the parts on a fresh connection, each after something came back, and waits for the end.
pub fn say(parts: &[&[u8]]) {
    let Ok(mut stream) = TcpStream::connect(running().address) else {
        return;
    };
    let _ = stream.set_read_timeout(Some(LIMIT));
    let mut buffer = [0; 4096];
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            let _ = stream.read(&mut buffer);
        }
        if stream.write_all(part).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}
