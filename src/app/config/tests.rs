use std::time::Duration;

use super::*;

fn with(variables: &[(&str, &str)], set: &[&str]) -> Result<Loaded, Problems> {
    load(&Sources {
        environment: variables
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        set: set.iter().map(|text| (*text).to_owned()).collect(),
        ..Sources::default()
    })
}

fn written(name: &str, text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("tidings-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn problems(result: Result<Loaded, Problems>) -> Vec<String> {
    result
        .unwrap_err()
        .0
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_embedded_defaults_are_a_whole_configuration() {
    let loaded = with(&[], &[]).unwrap();
    assert_eq!(loaded.config.wire.listen.to_string(), "127.0.0.1:3000");
    assert!(!loaded.to_toml().contains("# from"));
}

#[test]
fn later_sources_win() {
    let file = written(
        "order",
        "[hub]\ntopics_max = 1\nring_events_max = 1\nsnapshot_facts_max = 1\n",
    );
    let sources = Sources {
        file: Some(file),
        environment: vec![
            ("TIDINGS__HUB__RING_EVENTS_MAX".into(), "2".into()),
            ("TIDINGS__HUB__SNAPSHOT_FACTS_MAX".into(), "2".into()),
        ],
        set: vec!["hub.snapshot_facts_max=3".to_owned()],
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap();
    let hub = &loaded.config.hub;
    assert_eq!(
        (hub.topics_max, hub.ring_events_max, hub.snapshot_facts_max),
        (1, 2, 3)
    );
    let text = loaded.to_toml();
    assert!(text.contains("ring_events_max = 2  # from environment TIDINGS__HUB__RING_EVENTS_MAX"));
    assert!(text.contains("snapshot_facts_max = 3  # from flag --set hub.snapshot_facts_max"));
    let again: toml::Table = text.parse().unwrap();
    assert_eq!(again["hub"]["topics_max"].as_integer(), Some(1));
}

#[test]
fn all_problems_come_at_once_by_key_and_source() {
    let file = written(
        "wrong",
        "[hub]\nring_event_max = 5\ntopics_max = \"many\"\n[hubb]\nx = 1\n",
    );
    let sources = Sources {
        file: Some(file.clone()),
        environment: vec![
            ("TIDINGS__HUB__IDLE_AGE_MAX".into(), "5".into()),
            ("PORT".into(), "http".into()),
        ],
        set: vec![
            "store.sqlite.durability=disk".to_owned(),
            "nonsense".to_owned(),
        ],
        ..Sources::default()
    };
    let found = problems(load(&sources));
    let file = file.display();
    for (key, part) in [
        (
            format!("hub.ring_event_max (file {file})"),
            "did you mean `hub.ring_events_max`?",
        ),
        (
            format!("hub.topics_max (file {file})"),
            "invalid type: string \"many\", expected a whole number",
        ),
        (format!("hubb (file {file})"), "did you mean `hub`?"),
        (
            "hub.idle_age_max (environment TIDINGS__HUB__IDLE_AGE_MAX)".to_owned(),
            "`25s`",
        ),
        (
            "wire.listen (environment PORT)".to_owned(),
            "a number from 0 to 65535",
        ),
        (
            "store.sqlite.durability (flag --set store.sqlite.durability)".to_owned(),
            "unknown variant `disk`",
        ),
        ("flag --set nonsense".to_owned(), "write `--set key=value`"),
    ] {
        let hit = found.iter().find(|line| line.starts_with(&key));
        assert!(
            hit.is_some_and(|line| line.contains(part)),
            "{key} {part}: {found:#?}"
        );
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn a_named_file_must_exist_and_be_toml() {
    let sources = Sources {
        file: Some("/nowhere/tidings.toml".into()),
        ..Sources::default()
    };
    let found = problems(load(&sources));
    assert!(
        found[0].starts_with("file /nowhere/tidings.toml: cannot be read"),
        "{found:?}"
    );
    let sources = Sources {
        file: Some(written("syntax", "[hub\n")),
        ..Sources::default()
    };
    assert!(problems(load(&sources))[0].contains("this is no TOML"));
}

#[test]
fn a_public_bind_needs_insecure() {
    let public = |insecure| {
        let listen = Some("0.0.0.0:80".to_owned());
        load(&Sources {
            listen,
            insecure,
            ..Sources::default()
        })
    };
    let found = problems(public(false));
    assert!(
        found[0].starts_with("wire.listen (flag --listen)"),
        "{found:?}"
    );
    assert!(found[0].contains("--insecure"), "{found:?}");
    assert!(public(true).unwrap().config.auth.insecure);
}

#[test]
fn the_variables_of_assist_are_honoured() {
    let variables = [
        ("WS_MAX_MESSAGES", "7"),
        ("WS_RATE_WINDOW", "30"),
        ("WS_CLEANUP_INTERVAL", "90"),
    ];
    let assistant = with(&variables, &[]).unwrap().config.face.ws.assistant;
    assert_eq!(assistant.messages_max, 7);
    assert_eq!(assistant.rate_window, Duration::from_secs(30));
    assert_eq!(assistant.cleanup_interval, Duration::from_secs(90));
    let found = problems(with(&[("WS_MAX_MESSAGES", "many")], &[]));
    let key = "face.ws.assistant.messages_max (environment WS_MAX_MESSAGES)";
    assert!(found[0].starts_with(key), "{found:?}");
}

#[test]
fn port_and_rust_log_are_honoured() {
    let config = with(&[("PORT", "8080"), ("RUST_LOG", "debug")], &[])
        .unwrap()
        .config;
    assert_eq!(config.wire.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.log.filter, "debug");
    let found = problems(with(&[("RUST_LOG", "tidings=loud")], &[]));
    assert!(
        found[0].starts_with("log.filter (environment RUST_LOG)"),
        "{found:?}"
    );
}

#[test]
fn sections_and_values_are_not_confused() {
    let found = problems(with(&[("TIDINGS__HUB", "5")], &[]));
    assert!(found[0].contains("this is a section"), "{found:?}");
    let found = problems(with(&[("TIDINGS__HUB__TOPICS_MAX__DEEPER", "5")], &[]));
    assert!(
        found[0].contains("`hub.topics_max` is a value"),
        "{found:?}"
    );
    let found = problems(load(&Sources {
        file: Some(written("section", "hub = 5\n")),
        ..Sources::default()
    }));
    assert!(found[0].contains("this is a section"), "{found:?}");
}

#[test]
fn names_in_the_environment_are_checked() {
    let found = problems(with(
        &[("TIDINGS__HUB__", "5"), ("TIDINGS__TOPICS_MAX", "1")],
        &[],
    ));
    assert!(
        found.iter().any(|line| line.contains("empty part")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|line| line.contains("did you mean `hub.topics_max`?")),
        "{found:?}"
    );
    let found = problems(with(&[], &["=5"]));
    assert!(found[0].contains("empty part"), "{found:?}");
    with(&[("TIDINGS_SERVICE_HOST", "10.0.0.1")], &[]).unwrap();
}

#[test]
fn a_section_may_be_set_as_json() {
    let variables = [("TIDINGS__HUB__CLASSES", r#"{"tick": "state"}"#)];
    let classes = &with(&variables, &[]).unwrap().config.hub.classes;
    assert_eq!(
        classes.of(&"tick".parse().unwrap()),
        crate::topic::Class::State
    );
    assert_eq!(
        classes.of(&"completed".parse().unwrap()),
        crate::topic::Class::Terminal
    );
    let found = problems(with(&[], &["hub.classes.tick=loud"]));
    assert!(
        found[0].starts_with("hub.classes.tick (flag --set hub.classes.tick)"),
        "{found:?}"
    );
}

#[test]
fn a_variable_that_ends_in_file_names_a_file_with_the_value() {
    let path = written("filter", "warn\n");
    let variables = [("TIDINGS__LOG__FILTER_FILE", path.to_str().unwrap())];
    let loaded = with(&variables, &[]).unwrap();
    assert_eq!(loaded.config.log.filter, "warn");
    assert!(
        loaded.to_toml().contains("filter = \"(secret)\""),
        "{}",
        loaded.to_toml()
    );
    let found = problems(with(&[("TIDINGS__LOG__FILTER_FILE", "/nowhere")], &[]));
    assert!(
        found[0].starts_with("log.filter (file named by"),
        "{found:?}"
    );
    let found = problems(with(
        &[("TIDINGS__LOG__COLOUR_FILE", path.to_str().unwrap())],
        &[],
    ));
    assert!(found[0].contains("there is no such key"), "{found:?}");
}
