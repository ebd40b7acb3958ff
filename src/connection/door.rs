//! The door: every face asks here who somebody is, whether their page may, and what they may do.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Request};

use crate::auth::{
    self, Action, Asker, Auth, Credentials, Origins, Principal, Refusal, Role, Subject,
};
use crate::connection::Roster;
use crate::hub::Hub;
use crate::limit::{Limits, Places, Reached};
use crate::store;
use crate::topic::TopicName;
use crate::wire::Peer;

/// What is known of who sent a request before anything is asked: in the extensions of each request.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What they show.
    pub credentials: Credentials,
    /// Where they are: behind a trusted proxy, what it says.
    pub address: IpAddr,
}

impl Visitor {
    /// Whether they are on this machine.
    pub const fn is_local(&self) -> bool {
        self.address.is_loopback()
    }
}

/// The door of the gateway. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

struct Shared {
    auth: Auth,
    limits: Limits,
    origins: Origins,
    hub: Hub,
    roster: Roster,
}

impl Door {
    /// The door before a hub.
    pub fn new(auth: Auth, limits: Limits, origins: Origins, hub: Hub) -> Self {
        let roster = Roster::new(limits.ended_max());
        Self(Arc::new(Shared {
            auth,
            limits,
            origins,
            hub,
            roster,
        }))
    }

    /// Who may enter.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// How much they may take.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Who is connected.
    pub fn roster(&self) -> &Roster {
        &self.0.roster
    }

    /// The hub behind it.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Who sent a request. Their credentials are taken off it the first time, so that nothing
    /// behind can log them.
    pub fn visitor<B>(&self, request: &mut Request<B>) -> Visitor {
        if let Some(known) = request.extensions().get::<Visitor>() {
            return known.clone();
        }
        let address = self.address(request);
        self.vouch(request, address)
    }

    /// Who sent a request, and where they are according to a node that took it first.
    pub fn vouch<B>(&self, request: &mut Request<B>, address: IpAddr) -> Visitor {
        let credentials = Credentials::take(request);
        let visitor = Visitor {
            credentials,
            address,
        };
        request.extensions_mut().insert(visitor.clone());
        visitor
    }

    /// Where the client that sent a request is.
    pub fn address<B>(&self, request: &Request<B>) -> IpAddr {
        // What came by no socket came from this process.
        let peer = request.extensions().get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
        self.0.limits.address_of(peer, forwarded(request.headers()))
    }

    /// Whether the page that a request comes from may use the gateway. Counted if not.
    pub fn admits_origin(&self, headers: &HeaderMap, visitor: &Visitor) -> bool {
        let text = |name: HeaderName| {
            let value = headers.get(name)?;
            // What is no text is no origin that anybody listed.
            Some(value.to_str().unwrap_or("null"))
        };
        let auth = &self.0.auth;
        let is_admitted = self.0.origins.admit(Asker {
            origin: text(ORIGIN),
            host: text(HOST),
            is_loopback: visitor.is_local(),
            needs_credential: auth.needs_credential() || auth.is_insecure(),
        });
        if !is_admitted {
            auth.count_foreign_origin();
        }
        is_admitted
    }

    /// Who shows these credentials.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn admit(&self, credentials: &Credentials) -> Result<Arc<Principal>, Refusal> {
        self.0.auth.admit(credentials).await
    }

    /// The places of a connection of somebody, at an address unless that has been counted already.
    ///
    /// # Errors
    /// When the user, on all nodes, or the address holds as many as it may.
    pub async fn connect(
        &self,
        address: Option<IpAddr>,
        user: Option<&str>,
    ) -> Result<Places, Reached> {
        let limits = &self.0.limits;
        let places = match address {
            Some(address) => limits.connect(address, user)?,
            None => limits.connect_user(user)?,
        };
        if let Some(user) = user {
            let counted = limits.connections_of(user);
            if !self.0.hub.store().may_connect(user, counted).await {
                return Err(limits.user_is_full());
            }
        }
        Ok(places)
    }

    /// Whether a principal may do something to a topic: the one question that every face asks.
    ///
    /// # Errors
    /// When it depends on whose the topic is, and the store that knows it is away.
    pub async fn may(
        &self,
        principal: &Principal,
        action: Action,
        topic: &TopicName,
    ) -> Result<bool, store::Error> {
        if auth::may(principal, action, topic, None) {
            return Ok(true);
        }
        if !owner_matters(principal) {
            return Ok(false);
        }
        let owner = self.0.hub.owner(topic).await?;
        Ok(auth::may(principal, action, topic, owner.as_deref()))
    }

    /// The same question about a topic whose owner is at hand.
    pub fn may_do(
        &self,
        principal: &Principal,
        action: Action,
        (topic, owner): (&TopicName, Option<&str>),
    ) -> bool {
        let owner = owner.filter(|_| owner_matters(principal));
        auth::may(principal, action, topic, owner)
    }
}

/// Whose topic an event's topic is to be, when its producer says so: a user owns what it begins.
pub fn owner_of<'a>(principal: &'a Principal, said: Option<&'a str>) -> Option<&'a str> {
    match (&principal.subject, principal.role) {
        (Subject::User(sub), Role::User) => Some(sub),
        _ => said,
    }
}

/// Whether the rights of a principal depend on whose a topic is.
fn owner_matters(principal: &Principal) -> bool {
    principal.role == Role::User && principal.sub_topics.is_none()
}

fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    let values = headers.get_all("x-forwarded-for").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
}
