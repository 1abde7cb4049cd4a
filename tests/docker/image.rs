//! The image of the program under test, from the binary that cargo has built.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

use crate::engine::{docker, list, output};

const BINARY: &str = env!("CARGO_BIN_EXE_rideshare");
const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile");
const REPOSITORY: &str = "rideshare-test";

/// Its name; made where this binary has none yet, in the place of those of older ones.
pub(crate) fn provide() -> String {
    let metadata = std::fs::metadata(BINARY).unwrap();
    let recipe = std::fs::read_to_string(RECIPE).unwrap();
    let tag = digest((BINARY, metadata.modified().unwrap(), metadata.len(), recipe));
    let image = format!("{REPOSITORY}:{tag}");
    if docker(&["image", "inspect", "--format", "{{.Id}}", &image]).is_ok() {
        return image;
    }
    let label = format!("rideshare-test.binary={}", digest(BINARY));
    build(&image, &label);
    let all = ["image", "ls", "--filter", &format!("label={label}"), "--format"];
    for older in list(&[&all[..], &["{{.Repository}}:{{.Tag}}"]].concat()) {
        if older != image {
            // Another test may still use it.
            let _ = docker(&["image", "rm", &older]);
        }
    }
    image
}

/// From a context with the binary alone, without what a debugger would want of it.
fn build(image: &str, label: &str) {
    let context = tempfile::tempdir().unwrap();
    let binary = context.path().join("rideshare");
    let stripped = Command::new("strip").arg("-o").arg(&binary).arg(BINARY).status();
    if !stripped.is_ok_and(|status| status.success()) {
        std::fs::copy(BINARY, &binary).unwrap();
    }
    std::fs::copy(RECIPE, context.path().join("Dockerfile")).unwrap();
    let options = ["build", "--quiet", "--target", "ready", "--build-arg", "BINARY=rideshare"];
    let mut command = Command::new("docker");
    command.args(options).args(["--label", label, "--tag", image]).arg(context.path());
    // The classic builder is there on every engine; the other one may need a plug-in.
    output(command.env("DOCKER_BUILDKIT", "0")).unwrap();
}

fn digest(what: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
