#!/usr/bin/env bash
# A port that libslirp forwards (QEMU's `hostfwd`) listens with a backlog of 1.
#
# Expected: a forward is a server's door, so it queues connections as servers do (128 to 4096).
# Seen: `ss` shows a limit of 1 (Send-Q of a listening socket) for the forward, and 128 for a listener that asks
# for 128 in the same process. So clients that connect at the same time wait for retransmissions of a second, or are reset.
# Calling listen(2) again on the same socket, also from outside of the library, raises the limit.
#
# Version: libslirp 4.7.0-1 (Debian 12), Linux 6.18.
# Seen output:
#   forward: 1
#   listener of our own: 128
#   forward after a second listen(2): 4096, or net.core.somaxconn where that is less
set -euo pipefail
version=4.7.0-1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && apt-get -o APT::Sandbox::User=root download "libslirp0=$version" >/dev/null && dpkg -x libslirp0_*.deb root)
python3 - "$(find "$dir/root" -name 'libslirp.so.0' | head -1)" <<'PY'
import ctypes as c, ctypes.util, os, socket, struct, subprocess, sys, time

slirp = c.CDLL(sys.argv[1])
address = lambda text: c.c_uint32(struct.unpack("=I", socket.inet_aton(text))[0])

class In6(c.Structure):
    _fields_ = [("bytes", c.c_uint8 * 16)]

class Config(c.Structure):  # SlirpConfig, version 1: libslirp.h
    _fields_ = [
        ("version", c.c_uint32), ("restricted", c.c_int), ("in_enabled", c.c_bool),
        ("vnetwork", c.c_uint32), ("vnetmask", c.c_uint32), ("vhost", c.c_uint32),
        ("in6_enabled", c.c_bool), ("vprefix_addr6", In6), ("vprefix_len", c.c_uint8), ("vhost6", In6),
        ("vhostname", c.c_char_p), ("tftp_server_name", c.c_char_p), ("tftp_path", c.c_char_p),
        ("bootfile", c.c_char_p), ("vdhcp_start", c.c_uint32), ("vnameserver", c.c_uint32),
        ("vnameserver6", In6), ("vdnssearch", c.c_void_p), ("vdomainname", c.c_char_p),
        ("if_mtu", c.c_size_t), ("if_mru", c.c_size_t),
        ("disable_host_loopback", c.c_bool), ("enable_emu", c.c_bool), ("rest", c.c_uint8 * 64),
    ]

P, I64 = c.c_void_p, c.c_int64
kinds = [
    c.CFUNCTYPE(c.c_ssize_t, P, c.c_size_t, P), c.CFUNCTYPE(None, c.c_char_p, P), c.CFUNCTYPE(I64, P),
    c.CFUNCTYPE(P, P, P, P), c.CFUNCTYPE(None, P, P), c.CFUNCTYPE(None, P, I64, P),
    c.CFUNCTYPE(None, c.c_int, P), c.CFUNCTYPE(None, c.c_int, P), c.CFUNCTYPE(None, P),
]
bodies = [
    lambda buffer, length, opaque: length, lambda text, opaque: None, lambda opaque: time.monotonic_ns(),
    lambda call, data, opaque: 1, lambda timer, opaque: None, lambda timer, at, opaque: None,
    lambda fd, opaque: None, lambda fd, opaque: None, lambda opaque: None,
]
callbacks = [kind(body) for kind, body in zip(kinds, bodies)]
table = (P * 16)(*[c.cast(callback, P) for callback in callbacks])

config = Config(version=1, in_enabled=True, vnetwork=address("10.0.2.0"), vnetmask=address("255.255.255.0"),
                vhost=address("10.0.2.2"), vdhcp_start=address("10.0.2.15"), vnameserver=address("10.0.2.3"))
slirp.slirp_new.restype = P
slirp.slirp_new.argtypes = [P, P, P]
slirp.slirp_add_hostfwd.argtypes = [P, c.c_int, c.c_uint32, c.c_int, c.c_uint32, c.c_int]
instance = slirp.slirp_new(c.byref(config), table, None)

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

def limit(port):
    """Send-Q of a listening socket: how many connections wait at most."""
    rows = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], text=True, capture_output=True, check=True).stdout
    return int(rows.split()[2])

port = free_port()
if slirp.slirp_add_hostfwd(instance, 0, address("127.0.0.1"), port, address("10.0.2.15"), 80) != 0:
    sys.exit("the forward was refused")
own = socket.create_server(("127.0.0.1", 0), backlog=128)
forward, compared = limit(port), limit(own.getsockname()[1])
print(f"forward: {forward}")
print(f"listener of our own: {compared}")

# The library keeps the socket to itself, but it is a descriptor of this process.
for name in os.listdir("/proc/self/fd"):
    try:
        found = socket.socket(fileno=os.dup(int(name)))
    except OSError:
        continue
    with found:
        if found.family == socket.AF_INET and found.getsockname()[1] == port:
            found.listen(4096)
raised = limit(port)
print(f"forward after a second listen(2): {raised}")
most = min(4096, int(open("/proc/sys/net/core/somaxconn").read()))
sys.exit(0 if (forward, compared, raised) == (1, 128, most) else "this has changed")
PY
