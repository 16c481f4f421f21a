use std::io::Read;

use image::arch::Arch;

use super::*;
use crate::source::tests::{UNIT, directories, open, put};

/// Path, and target or text, of everything in the bundle of these directories that is not a directory.
fn listing(dir: &tempfile::TempDir) -> Result<String, BundleError> {
    let stackd = dir.path().join("program");
    std::fs::write(&stackd, "program").unwrap();
    let bytes =
        bundle(&open(dir, Arch::Amd64).unwrap(), &Layers::default(), &stackd)?.write(Vec::new()).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let shown = entries.filter(|entry| !entry.header().entry_type().is_dir()).map(|mut entry| {
        let path = entry.path().unwrap().display().to_string();
        if let Some(target) = entry.link_name().unwrap() {
            return format!("{path} -> {}", target.display());
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        format!("{path}: {}", text.trim_end().replace('\n', " | "))
    });
    Ok(shown.collect::<Vec<_>>().join("\n"))
}

#[test]
fn units_are_wanted_in_every_boot_and_settings_follow_the_stack() {
    insta::assert_snapshot!(listing(&directories()).unwrap(), @r#"
    etc/platform: platform
    etc/stack/secrets.env: # Placeholders, the same in every image: a new session replaces them before a port of it opens on the host. | WEB_PASSWORD=00000000000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    etc/stack/services.json: { |   "name": "shop", |   "services": [ |     { |       "name": "web", |       "unit": "web.service", |       "ports": [ |         { |           "guest": 80, |           "health": "/" |         } |       ] |     } |   ] | }
    etc/stack/stack.env: # Settings of the image for every service of the stack. A start's own settings come after these. | ROOT="/srv/the web"
    usr/lib/stack/direct/stack-ready.service.d/services.conf: [Unit] | After=web.service
    usr/lib/stack/direct/stack.target.wants/web.service -> ../web.service
    usr/lib/stack/direct/web.service -> ../../systemd/system/web.service
    usr/lib/stack/packages: linux-image-cloud-amd64 | nginx-amd64
    usr/lib/stack/stackd: program
    usr/lib/systemd/system/stack-ready.service.d/services.conf: [Unit] | After=web.service
    usr/lib/systemd/system/stack.target.wants/web.service -> ../web.service
    usr/lib/systemd/system/web.service: [Unit]
    "#);
}

#[test]
fn a_late_service_starts_after_the_others_and_no_start_waits_for_it() {
    let dir = directories();
    let stack = include_str!("../source/tests/stack.toml").replace("\"web\"", "\"web\", \"other\"");
    put(dir.path(), "stacks/shop/stack.toml", &stack);
    put(dir.path(), "services/other/service.toml", "unit = \"other.service\"\nlate = true\n");
    put(dir.path(), "services/other/other.service", "");
    let text = listing(&dir).unwrap();
    assert!(text.contains("usr/lib/stack/direct/other.service.d/late.conf: [Unit]"), "{text}");
    assert!(text.contains("usr/lib/stack/direct/stack.target.wants/other.service -> ../other.service"));
    let waited = format!("stack-ready.service.d/services.conf: [Unit] | After={UNIT}\n");
    assert_eq!(text.matches(&waited).count(), 2, "{text}");
}

#[test]
fn a_part_brings_its_process_with_it() {
    let dir = directories();
    let stack = include_str!("../source/tests/stack.toml").replace("\"web\"", "\"web\", \"part\"");
    put(dir.path(), "stacks/shop/stack.toml", &stack);
    put(dir.path(), "services/part/service.toml", "partOf = \"other\"\n");
    put(dir.path(), "services/other/other.service", "");
    let text = listing(&dir).unwrap();
    assert!(text.contains("ROOT=\"/srv/the web\" | STACK_SERVICES=\"part\""), "{text}");
    assert!(
        text.contains("stack-ready.service.d/services.conf: [Unit] | After=web.service other.service\n"),
        "{text}"
    );
}

#[test]
fn a_stack_replaces_files_and_services_do_not() {
    let dir = directories();
    put(dir.path(), "stacks/shop/files/etc/platform", "stack");
    assert!(listing(&dir).unwrap().contains("etc/platform: stack"));
    put(dir.path(), "services/web/files/etc/platform", "service");
    let error = listing(&dir).unwrap_err().to_string();
    assert_eq!(error, "two parts of the image have the file `/etc/platform`");
}
