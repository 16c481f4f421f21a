//! Names of images, and when two of them mean one image.

/// Registries and name spaces that a short name stands for: Docker's, and Podman's for images that were built there.
const IMPLIED: [&str; 3] = ["docker.io/library/", "docker.io/", "localhost/"];

/// Whether an image that is called `name` is the one that `wanted` asks for: short and full names mean one image.
pub fn matches(name: &str, wanted: &str) -> bool {
    name == wanted || full(name) == full(wanted)
}

/// Returns the name without what a short name implies, and with a tag.
fn full(name: &str) -> String {
    let short = IMPLIED.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains(':') { short.to_owned() } else { format!("{short}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_full_names_mean_one_image() {
        for (name, wanted) in [
            ("docker.io/library/web:latest", "web"),
            ("docker.io/team/web:1", "team/web:1"),
            ("localhost/web:latest", "web:latest"),
            ("registry:5000/web:latest", "registry:5000/web"),
            ("1.0", "1.0"),
        ] {
            assert!(matches(name, wanted), "{name} {wanted}");
        }
        for (name, wanted) in [("web:1", "web"), ("quay.io/web:latest", "web"), ("web:latest", "we")] {
            assert!(!matches(name, wanted), "{name} {wanted}");
        }
    }
}
