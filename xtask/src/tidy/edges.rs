//! Who may import whom, as `ARCHITECTURE.md` draws it.

use super::Finding;

/// A crate, and all that it may depend on; test dependencies count too.
const ALLOWED: [(&str, &[&str]); 18] = [
    (
        "carillon",
        &[
            "carillon-bench",
            "carillon-server",
            "carillon-service",
            "carillon-store",
            "carillon-auth",
            "carillon-model",
        ],
    ),
    (
        "carillon-bench",
        &["carillon-server", "carillon-service", "carillon-store", "carillon-auth", "carillon-model"],
    ),
    (
        "carillon-server",
        &[
            "carillon-delivery",
            "carillon-service",
            "carillon-access",
            "carillon-store",
            "carillon-auth",
            "carillon-meter",
            "carillon-model",
            "carillon-targets",
        ],
    ),
    ("carillon-delivery", &["carillon-store", "carillon-meter", "carillon-model"]),
    (
        "carillon-service",
        &["carillon-access", "carillon-store", "carillon-auth", "carillon-model", "carillon-macros"],
    ),
    ("carillon-access", &["carillon-store", "carillon-auth", "carillon-model", "carillon-macros"]),
    ("carillon-store", &["carillon-disk", "carillon-meter", "carillon-model"]),
    ("carillon-disk", &[]),
    ("carillon-targets", &["carillon-model"]),
    ("carillon-auth", &["carillon-model"]),
    (
        "carillon-fuzz",
        &[
            "carillon-server",
            "carillon-delivery",
            "carillon-service",
            "carillon-access",
            "carillon-store",
            "carillon-auth",
            "carillon-targets",
            "carillon-model",
        ],
    ),
    ("carillon-fuzz-libfuzzer", &["carillon-fuzz"]),
    ("carillon-model", &["carillon-macros"]),
    ("carillon-macros", &[]),
    ("carillon-meter", &[]),
    (
        "carillon-simulation",
        &[
            "carillon-delivery",
            "carillon-service",
            "carillon-access",
            "carillon-store",
            "carillon-auth",
            "carillon-model",
        ],
    ),
    ("carillon-peers", &["carillon-auth", "carillon-model"]),
    ("xtask", &[]),
];

pub(super) fn check(manifest: &str) -> Vec<Finding> {
    let Some(name) = package_name(manifest) else { return Vec::new() };
    let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![Finding::new(0, format!("crate {name} has no row in tidy's list of allowed edges"))];
    };
    let edges = dependencies(manifest).into_iter().filter(|(_, target)| !allowed.contains(&target.as_str()));
    edges.map(|(line, target)| Finding::new(line, format!("{name} may not depend on {target}"))).collect()
}

fn package_name(manifest: &str) -> Option<&str> {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[package]");
    lines.find_map(|line| line.strip_prefix("name = ")).map(|name| name.trim_matches('"'))
}

/// The crates of this workspace that a manifest names in any of its tables of dependencies, with the line.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_table = false;
    for (line, text) in (1..).zip(manifest.lines().map(str::trim)) {
        if let Some(table) = text.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            in_table = table.ends_with("dependencies");
            if let Some((parent, target)) = table.rsplit_once('.')
                && parent.ends_with("dependencies")
            {
                found.push((line, target.to_owned()));
            }
        } else if in_table {
            let end =
                text.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(text.len());
            found.push((line, text[..end].to_owned()));
        }
    }
    found.retain(|(_, target)| target == "carillon" || target.starts_with("carillon-"));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(manifest: &str) -> Vec<usize> {
        check(manifest).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn an_edge_outside_the_list_is_found_in_every_spelling() {
        let name = "[package]\nname = \"carillon-store\"\n";
        assert!(
            lines(&format!("{name}[dependencies]\ncarillon-model.workspace = true\nbytes = \"1\""))
                .is_empty()
        );
        assert_eq!(lines(&format!("{name}[dependencies]\ncarillon-service.workspace = true")), [4]);
        assert_eq!(lines(&format!("{name}[dev-dependencies]\ncarillon-auth = {{ path = \"x\" }}")), [4]);
        assert_eq!(lines(&format!("{name}[target.'cfg(unix)'.dependencies]\ncarillon-auth = \"1\"")), [4]);
        assert_eq!(lines(&format!("{name}[dependencies.carillon-auth]\nworkspace = true")), [3]);
    }

    #[test]
    fn a_crate_that_is_not_in_the_list_is_found() {
        assert_eq!(lines("[package]\nname = \"carillon-util\"\n"), [0]);
        assert!(lines("[workspace.dependencies]\ncarillon-auth = { path = \"crates/auth\" }").is_empty());
    }
}
