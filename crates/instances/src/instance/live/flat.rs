//! The live record as it was before version 2: all in one level, and a part of it twice. It is read, and never written.

use std::path::PathBuf;

use image::stack::{Secret, Service};
use protocol::Hooks;
use serde::Deserialize;
use time::OffsetDateTime;
use vm::memory::HeldMemory;
use vm::process::ProcessIdentity;

use super::{LIVE_VERSION, Live, Ready, Run, RunningMachine, RunningStack, StartedBy};
use crate::ports::PublishedPort;
use crate::saved::Fingerprint;
use vm::place::Place;

/// Version 1. Architecture, accelerator and size are read out of the fingerprint.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Flat {
    process: Option<ProcessIdentity>,
    place: Option<Place>,
    disk_inode: Option<u64>,
    qmp: PathBuf,
    qga: PathBuf,
    agent: PathBuf,
    fallback: Option<String>,
    image: PathBuf,
    ports: Vec<PublishedPort>,
    services: Vec<Service>,
    secrets: Vec<Secret>,
    hooks: Hooks,
    rotated: bool,
    fingerprint: Fingerprint,
    memory: Option<HeldMemory>,
    can_map_memory: bool,
    config: PathBuf,
    started_by: StartedBy,
    cold_because: Option<String>,
    new_session: bool,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    ready: Option<Ready>,
}

impl From<Flat> for Live {
    fn from(flat: Flat) -> Self {
        let machine = RunningMachine {
            process: flat.process,
            place: flat.place,
            disk_inode: flat.disk_inode,
            qmp: flat.qmp,
            qga: flat.qga,
            agent: flat.agent,
            fallback: flat.fallback,
            image: flat.image,
            config: flat.config,
            fingerprint: flat.fingerprint,
            memory: flat.memory,
            can_map_memory: flat.can_map_memory,
        };
        let stack = RunningStack {
            ports: flat.ports,
            services: flat.services,
            secrets: flat.secrets,
            hooks: flat.hooks,
            exports: None,
            project: None,
        };
        let run = Run {
            started_by: flat.started_by,
            cold_because: flat.cold_because,
            new_session: flat.new_session,
            rotated: flat.rotated,
            until_runs_end: None,
            started_at: flat.started_at,
            ready: flat.ready,
        };
        Self { schema_version: LIVE_VERSION, machine, stack, run }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::live;
    use super::*;
    use crate::instance::record;

    /// What the last program with version 1 wrote.
    const RECORD: &str = r#"{
      "schemaVersion": 1,
      "process": { "pid": 473, "started": 6124360 },
      "place": {
        "boot": "be6bd271-3d1a-4c21-a66f-189ee2f14e73",
        "pidNamespace": 4026531836,
        "networkNamespace": 4026531833,
        "machineId": "3d1219c7c4c5404aaa1f6d2a48adfda4",
        "host": "vm"
      },
      "diskInode": 10338829,
      "qmp": "/home/instances/awake/qmp",
      "qga": "/tmp/stack-emulator-0/52454b0affb9d797/qga",
      "agent": "/tmp/stack-emulator-0/52454b0affb9d797/agent",
      "arch": "amd64",
      "accelerator": "tcg",
      "fallback": "a trial guest said nothing for 4 s",
      "cpus": 2,
      "memoryMib": 2048,
      "image": "/home/images/stack-emulator-amd64.qcow2",
      "ports": [
        {
          "name": "backend",
          "guest": 8102,
          "host": 37651,
          "variable": "EMULATOR_BACKEND_PORT",
          "health": "/health?db=1"
        }
      ],
      "services": [{ "name": "backend", "unit": "stack-backend.service" }],
      "secrets": [
        {
          "name": "cron_secret",
          "env": "CRON_SECRET",
          "placeholder": "00000000000000000000000000000000cccccccccccccccccccccccccccccccc",
          "format": "hex64"
        }
      ],
      "hooks": {},
      "rotated": true,
      "fingerprint": {
        "image": "e8989e5358c401a223fe1b1cca704dd201aec1a0fe4b6d347c79abf36a793d93",
        "qemu": {
          "sha256": "9317fdb540c72f9396041691dbd632aa00661542772bec976bc6f0176e41311c",
          "version": "10.2.2"
        },
        "topology": {
          "layout": 1,
          "arch": "amd64",
          "machineType": "pc-q35-10.2",
          "accelerator": "tcg",
          "cpuModel": "max,avx2=off",
          "cpus": 2,
          "memoryMib": 2048,
          "generationId": false,
          "disks": [{ "id": "root", "access": "write" }, { "id": "config", "access": "read" }],
          "ports": ["org.qemu.guest_agent.0", "org.stack.agent"]
        },
        "host": null
      },
      "memory": { "private": 15 },
      "canMapMemory": true,
      "config": "/home/snapshots/amd64-template-20261128t223937-a5ce/config.img",
      "startedBy": "snapshot",
      "coldBecause": null,
      "newSession": true,
      "startedAt": "2026-11-28T23:28:14.788260379Z",
      "ready": {
        "at": "2026-11-28T23:28:15.286003977Z",
        "seconds": 0.49774489,
        "phases": [{ "phase": "image", "seconds": 0.003768627 }]
      }
    }"#;

    #[test]
    fn a_flat_record_is_read_and_rewritten_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.json");
        std::fs::write(&path, RECORD).unwrap();
        let read = record::read::<Live>(&path).unwrap().unwrap();
        // Looking changes nothing.
        assert_eq!(std::fs::read_to_string(&path).unwrap(), RECORD);
        record::renew::<Live>(&path).unwrap();
        assert_eq!(record::read::<Live>(&path).unwrap().unwrap(), read);

        let nested: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let flat: serde_json::Value = serde_json::from_str(RECORD).unwrap();
        assert_eq!(nested["schemaVersion"], LIVE_VERSION);
        let parts = ["machine", "stack", "run"].map(|part| nested[part].as_object().unwrap());
        for (key, value) in flat.as_object().unwrap() {
            let topology = &parts[0]["fingerprint"]["topology"];
            let found = parts.iter().find_map(|part| part.get(key)).or_else(|| topology.get(key));
            assert!(key == "schemaVersion" || found == Some(value), "{key}: {found:?}");
        }
        // The version, and four keys that the topology has as well.
        let old = flat.as_object().unwrap().len() - 5;
        let added = parts.iter().flat_map(|part| part.values()).filter(|value| value.is_null()).count();
        let null = flat.as_object().unwrap().values().filter(|value| value.is_null()).count();
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>() - (added - null), old);
    }

    #[test]
    fn a_record_of_this_version_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.json");
        record::renew::<Live>(&path).unwrap();
        assert!(!path.exists());
        record::write(&path, &live(None, true)).unwrap();
        let before = vm::stamp::Stamp::of(&path).unwrap();
        record::renew::<Live>(&path).unwrap();
        assert_eq!(vm::stamp::Stamp::of(&path).unwrap(), before);
        // An invalid record is left to the command that needs it.
        std::fs::write(&path, "{").unwrap();
        record::renew::<Live>(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
    }
}
