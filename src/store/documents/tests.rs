//! The same claims for documents in memory and in a file.

use serde_json::json;

use super::*;

fn config() -> crate::store::Config {
    let defaults: toml::Table =
        toml::from_str(include_str!("../../../config/tidings.toml")).unwrap();
    defaults["store"].clone().try_into().unwrap()
}

/// The documents in memory, and those of a directory that lives as long.
fn both(change: impl Fn(&mut Config)) -> Vec<(Documents, Option<tempfile::TempDir>)> {
    let mut config = config();
    change(&mut config.documents);
    let memory = Documents::open(&config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    config.data_dir = Some(dir.path().to_owned());
    let file = Documents::open(&config).unwrap();
    vec![(memory, None), (file, Some(dir))]
}

fn text(title: &str, text: &str) -> NewDocument {
    NewDocument {
        title: title.to_owned(),
        texts: vec![text.to_owned()],
        metadata: Metadata::default(),
    }
}

use crate::document::Metadata;

async fn library(documents: &Documents) -> LibraryId {
    let new = NewLibrary {
        name: "Papers".to_owned(),
        description: None,
    };
    documents.create(new).await.unwrap().0.id
}

async fn found(documents: &Documents, library: LibraryId, query: &str) -> Vec<String> {
    let wanted = Search {
        query: query.to_owned(),
        k: 10,
    };
    let hits = documents.search(library, wanted).await.unwrap();
    assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
    hits.into_iter().map(|hit| hit.title).collect()
}

#[tokio::test]
async fn what_is_added_is_found_read_and_deleted() {
    for (documents, _dir) in both(|_| {}) {
        let id = library(&documents).await;
        let mut new = text("Foxes", "The quick brown fox jumps over the lazy dog.");
        new.metadata = json!({ "year": 2026 }).as_object().unwrap().clone();
        let (summary, change) = documents.add(id, new.clone()).await.unwrap();
        assert_eq!(change.name, "document.added");
        documents
            .add(id, text("Cats", "A cat sleeps."))
            .await
            .unwrap();

        let wanted = Search {
            query: "JUMPING foxes".to_owned(),
            k: 10,
        };
        let hits = documents.search(id, wanted).await.unwrap();
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].id, summary.id);
        assert!(
            hits[0].snippet.contains("**fox** **jumps**"),
            "{}",
            hits[0].snippet
        );
        assert_eq!(hits[0].metadata["year"], 2026);
        assert!(hits[0].distance > 0.0 && hits[0].distance <= 1.0);

        let read = documents.document(id, summary.id).await.unwrap();
        assert_eq!(read.text, new.texts[0]);
        assert_eq!(documents.library(id).await.unwrap().num_documents, 2);

        documents.delete(id, summary.id).await.unwrap();
        assert!(found(&documents, id, "fox").await.is_empty());
        let again = documents.delete(id, summary.id).await;
        assert!(matches!(again, Err(Error::DocumentUnknown(_))));
        assert_eq!(documents.library(id).await.unwrap().num_chunks, 1);
    }
}

#[tokio::test]
async fn hostile_queries_are_plain_words() {
    for (documents, _dir) in both(|_| {}) {
        let id = library(&documents).await;
        documents
            .add(id, text("A", "alpha beta 漢字 हिन्दी"))
            .await
            .unwrap();
        let long = "alpha ".repeat(200_000);
        for query in [
            "\"alpha",
            "alpha AND",
            "NEAR(alpha",
            "title:alpha",
            "alpha*",
            "alpha\0beta",
            "'; DROP TABLE chunk; -- alpha",
            "{alpha} ^ - + (",
            &long,
        ] {
            assert_eq!(found(&documents, id, query).await, ["A"], "{query:.40}");
        }
        for query in ["हिन्दी", "漢字"] {
            assert_eq!(found(&documents, id, query).await, ["A"], "{query}");
        }
        for query in ["", "!\0*\"", "OR", "²"] {
            assert!(found(&documents, id, query).await.is_empty(), "{query}");
        }
    }
}

#[tokio::test]
async fn libraries_are_apart_and_go_with_their_documents() {
    for (documents, _dir) in both(|config| config.libraries_max = 2) {
        let (one, two) = (library(&documents).await, library(&documents).await);
        let refused = documents
            .create(NewLibrary {
                name: "Third".to_owned(),
                description: None,
            })
            .await;
        assert!(matches!(refused, Err(Error::TooManyLibraries(2))));
        let (summary, _) = documents.add(one, text("A", "shared word")).await.unwrap();
        documents.add(two, text("B", "shared word")).await.unwrap();
        assert_eq!(found(&documents, one, "shared").await, ["A"]);
        let elsewhere = documents.document(two, summary.id).await;
        assert!(matches!(elsewhere, Err(Error::DocumentUnknown(_))));
        documents.delete_library(one).await.unwrap();
        let gone = documents.add(one, text("A", "x")).await;
        assert!(matches!(gone, Err(Error::LibraryUnknown(_))));
        assert_eq!(found(&documents, two, "shared").await, ["B"]);
        assert_eq!(documents.libraries().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_long_text_is_found_by_its_nearest_chunk_once() {
    for (documents, _dir) in both(|_| {}) {
        let id = library(&documents).await;
        let filler = "Nothing to see in this sentence. ".repeat(200);
        let long = format!("{filler}The needle is here, a needle. {filler}");
        let (summary, _) = documents.add(id, text("Long", &long)).await.unwrap();
        assert!(summary.num_chunks > 5);
        let wanted = Search {
            query: "needle sentence".to_owned(),
            k: 10,
        };
        let hits = documents.search(id, wanted).await.unwrap();
        assert_eq!(hits.len(), 1);
        assert!(hits[0].text.contains("needle") && hits[0].chunk > 0);
        assert_eq!(documents.document(id, summary.id).await.unwrap().text, long);
    }
}

#[tokio::test]
async fn common_words_still_rank_what_has_more_of_them() {
    for (documents, _dir) in both(|config| config.ranked_max = 8) {
        let id = library(&documents).await;
        for number in 0..40 {
            let body = if number == 20 {
                "common usual rare"
            } else {
                "common usual"
            };
            documents
                .add(id, text(&format!("{number}"), body))
                .await
                .unwrap();
        }
        for number in 40..60 {
            documents
                .add(id, text(&format!("{number}"), "usual"))
                .await
                .unwrap();
        }
        assert_eq!(found(&documents, id, "common rare").await[0], "20");
        let both = found(&documents, id, "usual common").await;
        assert!(both.iter().all(|title| title.parse::<u32>().unwrap() < 40));
        assert_eq!(both.len(), 8);
    }
}

#[tokio::test]
async fn documents_and_changes_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.data_dir = Some(dir.path().to_owned());
    let documents = Documents::open(&config).unwrap();
    let id = library(&documents).await;
    let (summary, change) = documents.add(id, text("A", "durable")).await.unwrap();
    let told = documents.changes(10).await.unwrap();
    documents.forget(&told[..1]).await.unwrap();
    drop(documents);

    let documents = Documents::open(&config).unwrap();
    assert_eq!(found(&documents, id, "durable").await, ["A"]);
    let open = documents.changes(10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].id, &*open[0].name), (change.id, "document.added"));
    assert!(open[0].data.contains(&summary.id.to_string()));
}

#[tokio::test]
async fn a_full_store_says_so_and_stays_readable() {
    for (documents, _dir) in both(|config| config.bytes_max = crate::quantity::ByteSize(512 * 1024))
    {
        let id = library(&documents).await;
        documents.add(id, text("first", "small")).await.unwrap();
        let mut refused = None;
        for number in 0..200 {
            let body = format!("{number} ").repeat(2000);
            if let Err(error) = documents.add(id, text("big", &body)).await {
                refused = Some(error);
                break;
            }
        }
        assert!(matches!(refused, Some(Error::Full)), "{refused:?}");
        assert_eq!(found(&documents, id, "small").await, ["first"]);
    }
}

#[tokio::test]
async fn an_import_goes_on_where_it_was() {
    for (documents, _dir) in both(|_| {}) {
        let id = library(&documents).await;
        let lines = vec!["one".to_owned(), "two".to_owned(), "bad".to_owned()];
        documents.lay_up("j".into(), id, lines).await.unwrap();
        documents.is_whole("j".into()).await.unwrap();
        documents
            .lay_up("torn".into(), id, vec!["x".into()])
            .await
            .unwrap();

        let imports = documents.imports().await.unwrap();
        assert_eq!(imports.len(), 1, "what never became whole is forgotten");
        let lines = documents.lines("j".into(), 2).await.unwrap();
        let made = lines
            .into_iter()
            .map(|(number, line)| (number, Some(text(&line, &line))))
            .collect();
        let imported = documents.import("j".into(), made).await.unwrap().unwrap();
        assert_eq!((imported.import.successful, imported.changes.len()), (2, 2));
        let rest = documents.lines("j".into(), 2).await.unwrap();
        let made = rest.into_iter().map(|(number, _)| (number, None)).collect();
        let imported = documents.import("j".into(), made).await.unwrap().unwrap();
        assert_eq!((imported.import.failed, imported.import.total), (1, 3));
        documents.forget_import("j".into()).await.unwrap();
        assert!(documents.imports().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_line_that_was_out_is_not_sent_again() {
    for (documents, _dir) in both(|_| {}) {
        let id = LibraryId(Uuid::now_v7());
        let lines = ["one", "two", "three", "four"].map(str::to_owned).to_vec();
        documents.lay_up("j".into(), id, lines).await.unwrap();
        documents.is_whole("j".into()).await.unwrap();
        let out = documents.take_out("j".into(), 3).await.unwrap();
        assert_eq!(out.len(), 3);
        let fates = vec![(out[0].0, Fate::Made), (out[1].0, Fate::Waits)];
        let import = documents.settle("j".into(), fates).await.unwrap().unwrap();
        assert_eq!((import.successful, import.failed, import.total), (1, 0, 4));
        let import = documents.give_up("j".into()).await.unwrap().unwrap();
        assert_eq!((import.successful, import.failed), (1, 1), "the third");
        let rest = documents.take_out("j".into(), 9).await.unwrap();
        let rest: Vec<_> = rest.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(rest, ["two", "four"]);
        assert!(documents.give_up("other".into()).await.unwrap().is_none());
    }
}
