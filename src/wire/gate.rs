//! The gate: what the floors above say of connections before anything is read of them.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

/// The place of a connection; dropped with it.
pub type Place = Box<dyn Any + Send + Sync>;

/// A bound that is kept on this floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// `wire.connections_max`
    Connections,
    /// `wire.first_byte_timeout`
    FirstByte,
    /// `wire.header_timeout`, of a request that has begun
    Header,
    /// `wire.header_bytes_max`
    HeaderBytes,
    /// `wire.write_stall_max`
    WriteStall,
}

/// Whether one more connection may come from an address, or else what it is told.
type Admit = dyn Fn(IpAddr) -> Result<Place, String> + Send + Sync;

/// Who is told of bounds that were reached.
pub(crate) type Told = Arc<dyn Fn(Bound) + Send + Sync>;

/// Who is asked for each connection, and told when one reached a bound. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    admit: Arc<Admit>,
    reached: Told,
}

impl Gate {
    /// A gate that asks and tells these.
    pub fn new(
        admit: impl Fn(IpAddr) -> Result<Place, String> + Send + Sync + 'static,
        reached: impl Fn(Bound) + Send + Sync + 'static,
    ) -> Self {
        Self {
            admit: Arc::new(admit),
            reached: Arc::new(reached),
        }
    }

    /// A gate that is open to all.
    pub fn open() -> Self {
        Self::new(|_| Ok(Box::new(())), |_| {})
    }

    /// A place for one more connection from an address, or why there is none.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Place, String> {
        (self.admit)(address)
    }

    /// Who is told of bounds that were reached, for as long as a connection lives.
    pub(crate) fn told(&self) -> Told {
        Arc::clone(&self.reached)
    }

    /// A connection reached a bound.
    pub(crate) fn reached(&self, bound: Bound) {
        (self.reached)(bound);
    }
}
