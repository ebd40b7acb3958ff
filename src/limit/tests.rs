use super::*;

fn limits(set: impl FnOnce(&mut Config)) -> Limits {
    let text = include_str!("../../config/tidings.toml");
    let table: toml::Table = text.parse().unwrap();
    let mut config: Config = table["limit"].clone().try_into().unwrap();
    set(&mut config);
    Limits::new(config, Metrics::default()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn places_are_counted_by_user_and_address_and_given_back() {
    let limits = limits(|config| {
        config.connections_per_user_max = 2;
        config.connections_per_address_max = 3;
    });
    let held: Vec<_> = (0..2)
        .map(|_| limits.connect(ip("10.0.0.1"), Some("ann")).unwrap())
        .collect();
    let reached = limits.connect(ip("10.0.0.2"), Some("ann")).unwrap_err();
    assert_eq!((reached.limit, reached.max), (Limit::ConnectionsPerUser, 2));
    assert!(
        reached
            .to_string()
            .contains("`limit.connections_per_user_max` of 2")
    );
    let third = limits.connect(ip("10.0.0.1"), Some("bob")).unwrap();
    let reached = limits.connect(ip("10.0.0.1"), None).unwrap_err();
    assert_eq!(reached.limit, Limit::ConnectionsPerAddress);
    drop(held);
    assert!(limits.connect(ip("10.0.0.1"), Some("ann")).is_ok());
    drop(third);
    for _ in 0..10 {
        std::mem::forget(limits.connect(ip("127.0.0.1"), None).unwrap());
    }
    // One subscriber's network of IPv6 is one address.
    let held: Vec<_> = (1..=3)
        .map(|n| limits.connect(ip(&format!("2001:db8::{n}")), None).unwrap())
        .collect();
    assert!(limits.connect(ip("2001:db8::4"), None).is_err());
    assert!(limits.connect(ip("2001:db8:0:1::4"), None).is_ok());
    drop(held);
}

#[test]
fn topics_are_counted_by_network_where_nobody_shows_who_they_are() {
    let limits = limits(|config| config.subscribes_per_minute = 10);
    let account = |text| Account::Address(ip(text));
    assert!(limits.subscribe(&account("2001:db8::1"), 10).is_ok());
    let reached = limits.subscribe(&account("2001:db8::2"), 1).unwrap_err();
    assert_eq!(reached.limit, Limit::Subscribes);
    assert!(limits.subscribe(&account("2001:db8:0:1::1"), 10).is_ok());
    let connection = Account::Connection("c".into());
    assert!(limits.subscribe(&connection, 10).is_ok());
}

#[test]
fn sockets_are_counted_by_address_but_not_those_of_proxies() {
    let limits = limits(|config| {
        config.sockets_per_address_max = 2;
        config.trusted_proxies = vec!["10.9.0.0/16".to_owned()];
    });
    let held: Vec<_> = (0..2)
        .map(|_| limits.accept(ip("10.0.0.1")).unwrap())
        .collect();
    let reached = limits.accept(ip("::ffff:10.0.0.1").to_canonical());
    assert_eq!(reached.err().unwrap().limit, Limit::SocketsPerAddress);
    for free in ["10.0.0.2", "10.9.1.1", "127.0.0.1", "::1"] {
        for _ in 0..5 {
            std::mem::forget(limits.accept(ip(free)).ok().filter(|_| free != "10.0.0.2"));
        }
    }
    drop(held);
    assert!(limits.accept(ip("10.0.0.1")).is_ok());
}

#[test]
fn a_rate_lets_a_burst_through_and_says_when_to_come_back() {
    let limits = limits(|config| {
        config.messages_per_minute = 3;
        config.handshakes_per_second = 2;
    });
    let (ann, bob) = (
        Account::Principal("ann".into()),
        Account::Principal("bob".into()),
    );
    for _ in 0..3 {
        limits.message(&ann).unwrap();
    }
    let reached = limits.message(&ann).unwrap_err();
    assert_eq!(reached.limit, Limit::Messages);
    assert!(
        (1..=20).contains(&reached.retry_after_seconds()),
        "{reached:?}"
    );
    assert!(limits.message(&bob).is_ok());
    assert!(limits.handshake(ip("10.0.0.1")).is_ok());
    assert!(limits.handshake(ip("10.0.0.1")).is_ok());
    assert_eq!(
        limits.handshake(ip("10.0.0.1")).err().unwrap().limit,
        Limit::Handshakes
    );
    assert!(limits.handshake(ip("127.0.0.1")).is_ok());
}

#[test]
fn other_limits_hold_at_once_and_what_is_held_stays_held() {
    let limits = limits(|config| {
        config.connections_per_user_max = 1;
        config.messages_per_minute = 3;
        config.events_per_second = 1;
    });
    let ann = Account::Principal("ann".into());
    let held = limits.connect(ip("10.0.0.1"), Some("ann")).unwrap();
    (0..3).for_each(|_| limits.message(&ann).unwrap());
    limits.publish(&ann, 1).unwrap();
    let mut config = limits.rules().config.clone();
    config.connections_per_user_max = 2;
    config.events_per_second = 50;
    limits.change(config.clone()).unwrap();
    let second = limits.connect(ip("10.0.0.1"), Some("ann")).unwrap();
    assert!(limits.connect(ip("10.0.0.1"), Some("ann")).is_err());
    assert_eq!(limits.publish(&ann, 50).unwrap().max, 50);
    assert!(
        limits.message(&ann).is_err(),
        "this rate goes on where it was"
    );
    config.trusted_proxies = vec!["nonsense".to_owned()];
    config.connections_per_user_max = 9;
    assert!(limits.change(config).is_err());
    assert!(limits.connect(ip("10.0.0.1"), Some("ann")).is_err());
    drop((held, second));
}

#[test]
fn handshakes_that_are_not_finished_have_a_bound() {
    let limits = limits(|config| config.handshakes_unfinished_max = 1);
    let begun = limits.handshake(ip("127.0.0.1")).unwrap();
    let reached = limits.handshake(ip("127.0.0.1")).err().unwrap();
    assert_eq!(reached.limit, Limit::HandshakesUnfinished);
    drop(begun);
    assert!(limits.handshake(ip("127.0.0.1")).is_ok());
}

#[test]
fn events_tell_what_is_left() {
    let limits = limits(|config| config.events_per_second = 100);
    let key = Account::Principal("key:a".into());
    let quota = limits.publish(&key, 40).unwrap();
    assert_eq!((quota.max, quota.window_seconds), (100, 1));
    assert!((60..=61).contains(&quota.left), "{quota:?}");
    assert!(limits.publish(&key, 70).is_err());
    assert!(
        limits.publish(&key, 1000).is_err(),
        "more than ever fit at once"
    );
}
