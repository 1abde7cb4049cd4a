//! The descriptions of the three services, held against the services.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::System;

/// Name and address of each service.
fn services(system: &System) -> [(&'static str, String); 3] {
    [
        ("database", system.url.clone()),
        ("users", system.users.url.clone()),
        ("rides", system.rides.url.clone()),
    ]
}

async fn description(system: &System, url: &str) -> Value {
    let answer = system.client.get(format!("{url}/openapi.json")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn each_service_describes_exactly_the_methods_that_its_paths_have() {
    let system = System::start(1).await;
    for (name, url) in services(&system) {
        let description = description(&system, &url).await;
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1."), "{name}");
        let paths = description["paths"].as_object().unwrap();
        assert!(paths.len() >= 7, "{name}: {paths:?}");
        for (path, item) in paths {
            let described: BTreeSet<_> =
                item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
            let at = format!("{url}{}", path.replace(['{', '}'], ""));
            let answer = system.client.request(Method::TRACE, &at).send().await.unwrap();
            assert_eq!(answer.status(), 405, "{name} {path}");
            let allowed = answer.headers()["allow"].to_str().unwrap();
            let allowed: BTreeSet<_> = allowed.split(", ").map(str::to_owned).collect();
            assert_eq!(allowed, described, "{name} {path}");
        }
    }
}

#[tokio::test]
async fn each_service_has_a_page_that_needs_nothing_from_elsewhere() {
    let system = System::start(1).await;
    for (name, url) in services(&system) {
        let page = system.client.get(format!("{url}/docs")).send().await.unwrap();
        assert_eq!(page.status(), 200, "{name}");
        let html = page.text().await.unwrap();
        assert!(!html.contains("://"), "{name}: {html}");
        let sources = html.split("src=\"").skip(1).chain(html.split("href=\"").skip(1));
        let mut found = 0;
        for source in sources {
            let source = source.split('"').next().unwrap();
            let file = system.client.get(format!("{url}/docs/{source}")).send().await.unwrap();
            assert_eq!(file.status(), 200, "{name} {source}");
            found += 1;
        }
        assert!(found > 3, "{name}: {html}");
        let start = system.client.get(format!("{url}/docs/swagger-initializer.js")).send();
        let start = start.await.unwrap().text().await.unwrap();
        assert!(start.contains("/openapi.json"), "{name}: {start}");
    }
}

/// Thousands of requests made from the description, sound ones and spoilt ones: every answer is one
/// that the description names, and none is a failure of the server.
#[cfg(feature = "schemathesis")]
#[tokio::test]
async fn no_request_that_schemathesis_makes_gets_an_answer_that_is_not_described() {
    let system = System::start(1).await;
    let program = std::env::var("RIDESHARE_TEST_SCHEMATHESIS")
        .expect("RIDESHARE_TEST_SCHEMATHESIS must name the program");
    let settings =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/schemathesis.toml");
    // What it tries first, the ends of each range, is an offset that is waited for in vain.
    let phases = ["examples,coverage,fuzzing", "examples,fuzzing", "examples,fuzzing"];
    for ((name, url), phases) in services(&system).into_iter().zip(phases) {
        let output = tokio::process::Command::new(&program)
            .arg("--config-file")
            .arg(&settings)
            .args(["run", "--phases", phases])
            .arg(format!("{url}/openapi.json"))
            .current_dir(system.data_dir())
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {told}");
        let tried = told.split(" generated, ").next().and_then(|text| text.split(' ').next_back());
        let tried: usize = tried.unwrap().parse().unwrap();
        println!("{name}: {tried} requests");
        assert!(tried >= 200, "{name}: {told}");
    }
}
