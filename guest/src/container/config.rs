//! `config.json` of a container: what `crun` is to do, by the runtime specification of the Open Container Initiative.

use std::path::Path;

use protocol::containers::{Container, Tmpfs, Volume};
use serde_json::{Map, Value, json};

use super::{files::Mounted, volumes};

/// Where the platform's own program is mounted in a container that wants it as its first process.
pub(super) const INIT: &str = "/sbin/stack-init";

/// That program in the machine.
const STACKD: &str = "/usr/lib/stack/stackd";

/// Bytes of `/dev/shm` if the description does not say.
const SHM: u64 = 64 << 20;

/// Files of the kernel that are about the machine and not the container.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Files of the kernel that change the machine.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Every user may listen on every port, and send echo requests: a container has addresses of its own.
const SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Where the parts of a container are in the machine.
pub(super) struct Places<'a> {
    /// Its root.
    pub(super) root: &'a Path,
    /// Its network.
    pub(super) network: &'a Path,
    /// Its files.
    pub(super) files: &'a [Mounted],
}

/// The arguments of the container's first process.
pub(super) fn args(container: &Container) -> Vec<String> {
    let mut args = Vec::new();
    if container.init {
        args.extend([INIT, "container", "init", "--"].map(str::to_owned));
    }
    args.extend_from_slice(&container.args);
    args
}

/// The whole file, with `process` as the first process.
pub(super) fn config(container: &Container, places: &Places<'_>, process: &Value) -> Value {
    let sysctls: Map<String, Value> = (SYSCTLS.into_iter())
        .chain(container.sysctls.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": places.root, "readonly": container.read_only},
        "hostname": container.hostname,
        "mounts": mounts(container, places.files),
        "linux": {
            "namespaces": [
                {"type": "pid"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "cgroup"},
                {"type": "network", "path": places.network},
            ],
            "sysctl": sysctls,
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    })
}

/// Those of the kernel come first, and what is mounted in a mounted directory after that.
fn mounts(container: &Container, files: &[Mounted]) -> Vec<Value> {
    let mut described: Vec<(&str, Value)> = Vec::new();
    described.extend(container.volumes.iter().map(|volume| (volume.target.as_str(), of_volume(volume))));
    described.extend(container.tmpfs.iter().map(|tmpfs| (tmpfs.target.as_str(), of_tmpfs(tmpfs))));
    if container.init {
        described.push((INIT, bind(Path::new(STACKD), INIT, true)));
    }
    described
        .extend(files.iter().map(|file| (file.target.as_str(), bind(&file.source, &file.target, false))));
    described.sort_by_key(|(target, _)| target.split('/').filter(|part| !part.is_empty()).count());
    of_kernel(container).into_iter().chain(described.into_iter().map(|(_, mount)| mount)).collect()
}

fn of_kernel(container: &Container) -> [Value; 7] {
    let shm = format!("size={}", container.shm_bytes.unwrap_or(SHM));
    let mount = |kind: &str, target: &str, options: &[&str]| json!({"type": kind, "source": kind, "destination": target, "options": options});
    [
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        mount("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn of_volume(volume: &Volume) -> Value {
    bind(&volumes::path(volume), &volume.target, volume.read_only)
}

fn bind(source: &Path, target: &str, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({"type": "bind", "source": source, "destination": target, "options": ["rbind", "rprivate", access]})
}

fn of_tmpfs(Tmpfs { target, size_bytes, mode, options }: &Tmpfs) -> Value {
    let mut all = vec!["nosuid".to_owned(), "nodev".to_owned(), format!("mode={:o}", mode.unwrap_or(0o1777))];
    all.extend(size_bytes.map(|size| format!("size={size}")));
    all.extend_from_slice(options);
    json!({"type": "tmpfs", "source": "tmpfs", "destination": target, "options": all})
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            accounts::User,
            environment::{Session, Variables},
            fixtures::container,
            process::Template,
        },
        *,
    };

    fn rendered(container: &Container) -> Value {
        let user = User { uid: 1000, gid: 1001, groups: vec![44], home: "/home/node".into() };
        let variables = Variables::of(container, &user.home, &Session::of(&[("TOKEN", "s3cret")])).unwrap();
        let process = Template { container, user: &user, variables: &variables }.process(&args(container));
        let files = [Mounted { source: "/run/stack-web/files/0".into(), target: "/data/conf/token".into() }];
        let places = Places {
            root: Path::new("/run/stack-web/root"),
            network: Path::new("/proc/7/fd/9"),
            files: &files,
        };
        config(container, &places, &process)
    }

    #[test]
    fn a_small_container_has_what_every_container_has() {
        let mut config = rendered(&container(""));
        let mounts = config["mounts"].take();
        let lines: Vec<_> = mounts.as_array().unwrap().iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        proc on /proc ["nosuid","noexec","nodev"]
        tmpfs on /dev ["nosuid","strictatime","mode=755","size=65536k"]
        devpts on /dev/pts ["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]
        tmpfs on /dev/shm ["nosuid","noexec","nodev","mode=1777","size=67108864"]
        mqueue on /dev/mqueue ["nosuid","noexec","nodev"]
        sysfs on /sys ["nosuid","noexec","nodev","ro"]
        cgroup on /sys/fs/cgroup ["nosuid","noexec","nodev","relatime","ro"]
        /run/stack-web/files/0 on /data/conf/token ["rbind","rprivate","rw"]
        "#);
        for path in ["capabilities", "env"] {
            config["process"][path].take();
        }
        insta::assert_snapshot!(config, @r#"{"hostname":"web","linux":{"maskedPaths":["/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/sys/devices/virtual/powercap","/sys/firmware"],"namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"},{"path":"/proc/7/fd/9","type":"network"}],"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"sysctl":{"net.ipv4.ip_unprivileged_port_start":"0","net.ipv4.ping_group_range":"0 2147483647"}},"mounts":null,"ociVersion":"1.0.2","process":{"args":["/bin/httpd"],"capabilities":null,"cwd":"/","env":null,"rlimits":[],"terminal":false,"user":{"additionalGids":[44],"gid":1001,"uid":1000}},"root":{"path":"/run/stack-web/root","readonly":false}}"#);
    }

    #[test]
    fn everything_that_is_described_is_in_the_configuration() {
        let full = rendered(&container(
            r#", "init": true, "read_only": true, "working_dir": "/app", "shm_bytes": 1024,
            "secrets": {"TOKEN": "{secret:TOKEN}"}, "sysctls": {"net.core.somaxconn": "1024"},
            "cap_drop": ["ALL"], "cap_add": ["CAP_CHOWN"],
            "ulimits": [{"name": "nofile", "soft": 1024}, {"name": "core", "soft": 0, "hard": 0}],
            "tmpfs": [{"target": "/tmp"}, {"target": "/data/conf", "size_bytes": 4096, "mode": 448, "options": ["noexec"]}],
            "volumes": [{"name": "data", "target": "/data"}, {"name": "shared", "target": "/srv", "read_only": true}]"#,
        ));
        assert_eq!(full["process"]["args"], json!([INIT, "container", "init", "--", "/bin/httpd"]));
        assert_eq!(full["process"]["capabilities"]["bounding"], json!(["CAP_CHOWN"]));
        assert_eq!(full["root"]["readonly"], json!(true));
        assert_eq!(full["linux"]["sysctl"]["net.core.somaxconn"], json!("1024"));
        let process = &full["process"];
        insta::assert_snapshot!(process["rlimits"], @r#"[{"hard":18446744073709551615,"soft":1024,"type":"RLIMIT_NOFILE"},{"hard":0,"soft":0,"type":"RLIMIT_CORE"}]"#);
        insta::assert_snapshot!(process["env"], @r#"["HOME=/home/node","HOSTNAME=web","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","TOKEN=s3cret"]"#);
        assert_eq!(process["cwd"], json!("/app"));
        let described = &full["mounts"].as_array().unwrap()[7..];
        let lines: Vec<_> = described.iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        /var/lib/stack/volumes/data on /data ["rbind","rprivate","rw"]
        /var/lib/stack/volumes/shared on /srv ["rbind","rprivate","ro"]
        tmpfs on /tmp ["nosuid","nodev","mode=1777"]
        tmpfs on /data/conf ["nosuid","nodev","mode=700","size=4096","noexec"]
        /usr/lib/stack/stackd on /sbin/stack-init ["rbind","rprivate","ro"]
        /run/stack-web/files/0 on /data/conf/token ["rbind","rprivate","rw"]
        "#);
    }

    /// A mount for people.
    fn line(mount: &Value) -> String {
        let text = |key: &str| mount[key].as_str().unwrap_or_default().to_owned();
        format!("{} on {} {}", text("source"), text("destination"), mount["options"])
    }
}
