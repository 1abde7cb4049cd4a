//! The reference of all settings, from where their defaults stand.

use std::fmt::Write;

use super::BASE;

/// All settings with their variables, defaults and meanings, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    let (mut section, mut meaning, mut is_new) = ("", String::new(), true);
    for line in BASE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            (section, is_new) = (name.trim_end_matches(']'), true);
            let _ = write!(text, "\n## {section}\n\n{TABLE}");
        } else if let Some(comment) = line.strip_prefix('#') {
            if is_new {
                meaning.clear();
            }
            is_new = false;
            meaning = format!("{meaning} {}", comment.trim()).trim().to_owned();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let variable = format!("RIDESHARE_{section}__{key}").to_uppercase();
            let row = [format!("`{section}.{key}`"), format!("`{variable}`"), format!("`{value}`")];
            let meaning = meaning.replace('|', "\\|");
            let _ = writeln!(text, "| {} | {meaning} |", row.join(" | "));
            is_new = true;
        }
    }
    text
}

const HEAD: &str = "# Settings

Every key `section.key` is read from the environment variable beside it, or from the TOML file that
`--config` names. Precedence: flag, environment, file, the profile of the command, the defaults below.
`rideshare settings` prints this page.
";
const TABLE: &str = "| Setting | Variable | Default | Meaning |\n|---|---|---|---|\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_explained() {
        let text = reference();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert!(rows.len() > 80, "{} settings", rows.len());
        for row in rows {
            let meaning = row.rsplit("` | ").next().unwrap_or_default();
            assert!(meaning.len() > 10, "{row}");
        }
        let port = "| `http.port` | `RIDESHARE_HTTP__PORT` | `8080` | The port to listen on; 0 picks a free one. |";
        assert!(text.contains(port), "{text}");
        assert!(!text.contains("Every setting with its default"), "{text}");
        // Two settings that one comment explains.
        let [certificate, key] = ["tls_cert", "tls_key"].map(|key| {
            let row = text.lines().find(|line| line.contains(&format!("`http.{key}`")));
            row.and_then(|row| row.rsplit("` | ").next()).map(str::to_owned)
        });
        assert_eq!(certificate, key);
    }

    #[test]
    fn page_in_the_documentation_is_this_one() {
        let page = include_str!("../../docs/settings.md");
        assert!(page == reference(), "run: cargo run -- settings > docs/settings.md");
    }
}
