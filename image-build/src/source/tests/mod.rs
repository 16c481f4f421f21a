use super::*;

/// The unit of the service in [`directories`].
pub(crate) const UNIT: &str = "web.service";

/// A platform with one service, and a stack in `stacks/shop` that lists it.
pub(crate) fn directories() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("base/packages", "linux-image-cloud-{arch}"),
        ("base/provisioning-packages", "cloud-init"),
        ("base/initrd-modules", "virtio_blk"),
        ("base/dpkg.cfg.d/system", ""),
        ("base/hooks/20-last", ""),
        ("base/hooks/10-first", ""),
        ("cmdline", "quiet # words\nro"),
        ("cmdline.amd64", ""),
        ("cmdline.arm64", "console=ttyAMA0"),
        ("platform/etc/platform", "platform"),
        ("services/web/service.toml", include_str!("service.toml")),
        ("services/web/web.service", "[Unit]\n"),
        ("services/web/base/hooks/15-web", ""),
        ("services/web/base/dpkg.cfg.d/web", ""),
        ("services/other/service.toml", "unit = \"other.service\"\n"),
        ("stacks/shop/stack.toml", include_str!("stack.toml")),
    ] {
        put(dir.path(), path, text);
    }
    dir
}

/// Writes a file and the directories above it.
pub(crate) fn put(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Reads those directories.
pub(crate) fn open(dir: &tempfile::TempDir, arch: Arch) -> Result<Source, SourceError> {
    Source::open(dir.path(), &dir.path().join("stacks/shop"), arch)
}

/// The error and its causes, without the directory's name.
fn refused(dir: &tempfile::TempDir) -> String {
    let error = open(dir, Arch::Amd64).unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.replace(&dir.path().display().to_string(), "[dir]")
}

#[test]
fn a_platform_without_its_hooks_is_an_error() {
    let dir = directories();
    fs::remove_dir_all(dir.path().join("base/hooks")).unwrap();
    let error = open(&dir, Arch::Amd64).unwrap().hooks().unwrap_err();
    assert!(
        matches!(&error, SourceError::Read { path, .. } if *path == dir.path().join("base/hooks")),
        "{error}"
    );
}

#[test]
fn a_list_has_words_and_comments() {
    let text = "# kernel\nlinux-image  # the cloud flavour\n\npostgresql redis\n";
    assert_eq!(entries(text), ["linux-image", "postgresql", "redis"]);
}

#[test]
fn only_what_changes_the_base_is_an_input_of_it() {
    let dir = directories();
    let base = dir.path().join("base");
    let source = open(&dir, Arch::Arm64).unwrap();
    let web = dir.path().join("services/web/base");
    let inputs = [&base, &web].map(|base| ["dpkg.cfg.d", "hooks"].map(|name| base.join(name)));
    assert_eq!(source.base_inputs().unwrap(), inputs.concat());
    assert_eq!(
        source.hooks().unwrap(),
        ["10-first", "15-web", "20-last"].map(|name| Path::new("hooks").join(name))
    );
    assert_eq!(
        source.dpkg_settings().unwrap(),
        ["system", "web"].map(|name| Path::new("dpkg.cfg.d").join(name))
    );
    assert_eq!(source.cmdline, "quiet ro console=ttyAMA0");
    assert_eq!(source.packages, ["linux-image-cloud-arm64", "nginx-arm64"]);
    assert_eq!(source.initrd_modules, ["virtio_blk"]);
}

#[test]
fn a_service_of_the_stack_precedes_one_of_the_platform() {
    let dir = directories();
    let text = include_str!("service.toml").replace("26800", "26900");
    put(dir.path(), "stacks/shop/services/web/service.toml", &text);
    put(dir.path(), "stacks/shop/services/web/web.service", "[Unit]\n");
    let source = open(&dir, Arch::Amd64).unwrap();
    assert_eq!(source.services[0].dir, dir.path().join("stacks/shop/services/web"));
    assert_eq!(source.described.stack.ports[0].host, 26900);
}

#[test]
fn the_key_follows_the_platform_and_the_services_that_are_listed() {
    let dir = directories();
    let key = || open(&dir, Arch::Amd64).unwrap().key().unwrap();
    let mut before = key();
    put(dir.path(), "services/other/files/etc/file", "");
    put(dir.path(), "stacks/another/stack.toml", "");
    put(dir.path(), "stacks/shop/notes", "");
    assert_eq!(key(), before, "what the stack does not use");
    for path in [
        "platform/etc/file",
        "services/web/files/etc/file",
        "services/web/more.socket",
        "stacks/shop/files/etc/file",
        "user-data",
    ] {
        put(dir.path(), path, "");
        let after = key();
        assert_ne!(after, before, "{path}");
        before = after;
    }
}

#[test]
fn what_is_wrong_with_a_description_names_file_and_key() {
    let dir = directories();
    let toml = include_str!("service.toml");
    put(dir.path(), "services/web/service.toml", &toml.replace("26800", "0"));
    assert_eq!(
        refused(&dir),
        "`[dir]/services/web/service.toml` is not valid: `ports`: port `web` has the number 0"
    );
    put(dir.path(), "services/web/service.toml", &toml.replace("health", "healthy"));
    assert!(refused(&dir).contains("unknown field `healthy`"), "{}", refused(&dir));
    put(dir.path(), "services/web/service.toml", &toml.replace("web.service", "wob.service"));
    assert_eq!(
        refused(&dir),
        "`[dir]/services/web/service.toml`: `unit`: there is no file `[dir]/services/web/wob.service`"
    );
    put(dir.path(), "services/web/notes", "");
    assert_eq!(
        refused(&dir),
        "`[dir]/services/web/notes` is not part of a service: those are `service.toml`, units, and the trees `base` and `files`"
    );
    fs::remove_file(dir.path().join("services/web/notes")).unwrap();
    put(dir.path(), "services/web/service.toml", toml);
    put(dir.path(), "services/web/base/packages", "");
    assert_eq!(
        refused(&dir),
        "`[dir]/services/web/base/packages` is not part of what a service adds to the base: \
         those are `hooks` and `dpkg.cfg.d`"
    );
    fs::remove_file(dir.path().join("services/web/base/packages")).unwrap();
    put(dir.path(), "stacks/shop/stack.toml", &include_str!("stack.toml").replace("\"web\"", "\"mailer\""));
    assert_eq!(
        refused(&dir),
        "`[dir]/stacks/shop/stack.toml`: `services`: there is no `mailer`: \
         neither `[dir]/stacks/shop/services/mailer` nor `[dir]/services/mailer` exists"
    );
    put(dir.path(), "stacks/shop/stack.toml", &include_str!("stack.toml").replace("cpus = 1", "cpus = 0"));
    assert!(
        refused(&dir).starts_with("`[dir]/stacks/shop/stack.toml` is not valid: `machine`: "),
        "{}",
        refused(&dir)
    );
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        refused(&dir),
        "cannot read `[dir]/stacks/shop/stack.toml`: No such file or directory (os error 2)"
    );
    fs::create_dir_all(dir.path().join("stacks/shop")).unwrap();
    let neither = "there is neither a compose file nor a `stack.toml` in `[dir]/stacks/shop`";
    assert_eq!(refused(&dir), neither);
}
