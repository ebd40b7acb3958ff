//! The limits by name: what a refusal, a metric and the page of limits call them.

/// A limit, by the key in the config that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `limit.connections_per_user_max`
    ConnectionsPerUser,
    /// `limit.connections_per_address_max`
    ConnectionsPerAddress,
    /// `limit.sockets_per_address_max`
    SocketsPerAddress,
    /// `limit.handshakes_per_second`
    Handshakes,
    /// `limit.handshakes_unfinished_max`
    HandshakesUnfinished,
    /// `limit.messages_per_minute`
    Messages,
    /// `limit.subscribes_per_minute`
    Subscribes,
    /// `limit.events_per_second`
    Events,
    /// `wire.connections_max`
    Connections,
    /// `wire.first_byte_timeout`
    FirstByte,
    /// `wire.header_timeout`
    Header,
    /// `wire.header_bytes_max`
    HeaderBytes,
    /// `wire.body_timeout`
    Body,
    /// `wire.write_stall_max`
    WriteStall,
    /// `auth.revocations_max`
    Revocations,
    /// `hub.topics_max`
    Topics,
    /// `hub.topic_subscribers_max`
    TopicSubscribers,
    /// `hub.payload_bytes_max`
    PayloadBytes,
    /// `hub.payload_depth_max`
    PayloadDepth,
    /// `store.documents.libraries_max`
    Libraries,
    /// `store.documents.document_bytes_max`
    DocumentBytes,
    /// `face.http.body_bytes_max`
    HttpBody,
    /// `face.http.batch_entries_max`
    HttpBatch,
    /// `face.socketio.connect_timeout`
    SocketIoConnect,
    /// `face.socketio.payload_bytes_max`
    SocketIoPoll,
    /// `face.socketio.message_bytes_max`
    SocketIoMessage,
    /// `face.socketio.attachments_max`
    SocketIoAttachments,
    /// `face.socketio.subscriptions_max`
    SocketIoSubscriptions,
    /// `face.socketio.subscribe_ids_max`
    SocketIoIds,
    /// `face.socketio.requests_max`
    SocketIoRequests,
    /// `face.ws.message_bytes_max`
    WsMessage,
    /// `face.ws.messages_per_minute_max`
    WsMessages,
    /// `face.ws.subscriptions_max`
    WsSubscriptions,
    /// `face.ws.assistant.messages_max`
    AssistantMessages,
    /// `face.ws.assistant.rooms_max`
    AssistantRooms,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 35] = [
        Self::ConnectionsPerUser,
        Self::ConnectionsPerAddress,
        Self::SocketsPerAddress,
        Self::Handshakes,
        Self::HandshakesUnfinished,
        Self::Messages,
        Self::Subscribes,
        Self::Events,
        Self::Connections,
        Self::FirstByte,
        Self::Header,
        Self::HeaderBytes,
        Self::Body,
        Self::WriteStall,
        Self::Revocations,
        Self::Topics,
        Self::TopicSubscribers,
        Self::PayloadBytes,
        Self::PayloadDepth,
        Self::Libraries,
        Self::DocumentBytes,
        Self::HttpBody,
        Self::HttpBatch,
        Self::SocketIoConnect,
        Self::SocketIoPoll,
        Self::SocketIoMessage,
        Self::SocketIoAttachments,
        Self::SocketIoSubscriptions,
        Self::SocketIoIds,
        Self::SocketIoRequests,
        Self::WsMessage,
        Self::WsMessages,
        Self::WsSubscriptions,
        Self::AssistantMessages,
        Self::AssistantRooms,
    ];

    /// The key in the config that sets it; its name in metrics and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsPerUser => "limit.connections_per_user_max",
            Self::ConnectionsPerAddress => "limit.connections_per_address_max",
            Self::SocketsPerAddress => "limit.sockets_per_address_max",
            Self::Handshakes => "limit.handshakes_per_second",
            Self::HandshakesUnfinished => "limit.handshakes_unfinished_max",
            Self::Messages => "limit.messages_per_minute",
            Self::Subscribes => "limit.subscribes_per_minute",
            Self::Events => "limit.events_per_second",
            Self::Connections => "wire.connections_max",
            Self::FirstByte => "wire.first_byte_timeout",
            Self::Header => "wire.header_timeout",
            Self::HeaderBytes => "wire.header_bytes_max",
            Self::Body => "wire.body_timeout",
            Self::WriteStall => "wire.write_stall_max",
            Self::Revocations => "auth.revocations_max",
            Self::Topics => "hub.topics_max",
            Self::TopicSubscribers => "hub.topic_subscribers_max",
            Self::PayloadBytes => "hub.payload_bytes_max",
            Self::PayloadDepth => "hub.payload_depth_max",
            Self::Libraries => "store.documents.libraries_max",
            Self::DocumentBytes => "store.documents.document_bytes_max",
            Self::HttpBody => "face.http.body_bytes_max",
            Self::HttpBatch => "face.http.batch_entries_max",
            Self::SocketIoConnect => "face.socketio.connect_timeout",
            Self::SocketIoPoll => "face.socketio.payload_bytes_max",
            Self::SocketIoMessage => "face.socketio.message_bytes_max",
            Self::SocketIoAttachments => "face.socketio.attachments_max",
            Self::SocketIoSubscriptions => "face.socketio.subscriptions_max",
            Self::SocketIoIds => "face.socketio.subscribe_ids_max",
            Self::SocketIoRequests => "face.socketio.requests_max",
            Self::WsMessage => "face.ws.message_bytes_max",
            Self::WsMessages => "face.ws.messages_per_minute_max",
            Self::WsSubscriptions => "face.ws.subscriptions_max",
            Self::AssistantMessages => "face.ws.assistant.messages_max",
            Self::AssistantRooms => "face.ws.assistant.rooms_max",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_key_of_the_config_and_on_the_page_of_limits() {
        let config: toml::Table = include_str!("../../config/tidings.toml").parse().unwrap();
        let page = include_str!("../../docs/limits.md");
        for limit in Limit::ALL {
            let mut parts = limit.as_str().split('.');
            let first = &config[parts.next().unwrap()];
            let found = parts.try_fold(first, |table, part| table.get(part));
            assert!(found.is_some(), "{}", limit.as_str());
            let line = format!("| `{}` |", limit.as_str());
            assert!(page.contains(&line), "{line}");
        }
    }
}
