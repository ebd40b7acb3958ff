//! The contract that the gateway tells of itself, against what it does.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use serde_json::Value;
use tidings::face::http;

use super::{Face, request};

/// The paths of a contract with their methods.
fn documented(contract: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = contract["paths"].as_object().unwrap();
    let methods = |item: &Value| {
        let names = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| *name != "parameters");
        names.map(|name| name.to_uppercase()).collect()
    };
    paths
        .iter()
        .map(|(path, item)| (path.clone(), methods(item)))
        .collect()
}

#[tokio::test]
async fn the_contract_has_every_path_and_method_and_no_other() {
    let face = Face::new();
    let contract = face.get("/openapi.json").await.json();
    let documented = documented(&contract);
    let routed: BTreeSet<&str> = http::paths().into_iter().collect();
    assert_eq!(
        documented
            .keys()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        routed
    );
    for (path, methods) in documented {
        let path = path.replace("{topic}", "session:a").replace(['{', '}'], "");
        let answer = face.call(request(Method::TRACE, &path, &[], "")).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = answer
            .header("allow")
            .split(',')
            .filter(|method| *method != "HEAD");
        assert_eq!(
            allowed.map(str::to_owned).collect::<BTreeSet<_>>(),
            methods,
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_reference_of_the_documents_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let face = Face::new();
    for path in ["/openapi.json", "/asyncapi.json"] {
        let document = face.get(path).await.json();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{path}");
        for reference in found {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some(), "{path}: {reference}");
        }
    }
}

#[tokio::test]
async fn the_examples_are_taken() {
    let face = Face::new();
    let contract = face.get("/openapi.json").await.json();
    let example = |path: &str| {
        let content = &contract["paths"][path]["post"]["requestBody"]["content"];
        content["application/json"]["example"].to_string()
    };
    for path in ["/v1/topics/{topic}/events", "/v1/events"] {
        let answer = face
            .post(&path.replace("{topic}", "session:a"), &example(path))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        assert!(!answer.text().contains("problem"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let face = Face::new();
    let page = face.get("/docs").await;
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    for file in ["/docs/docs.js", "/docs/docs.css"] {
        assert!(page.text().contains(file));
        let answer = face.get(file).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.text().contains("://"), "{file}");
    }
    assert!(!page.text().contains("://") && !page.text().contains(" style="));
    face.get("/docs/other.js")
        .await
        .problem(404, "path_unknown");
}
