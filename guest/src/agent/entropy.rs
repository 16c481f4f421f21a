//! The kernel's random generator, whose state is the same in every copy of a snapshot until something is added to it.

use std::{fs::OpenOptions, io::Write as _};

use anyhow::Context as _;
use protocol::{ENTROPY_BYTES, Secret};
use rustix::ioctl::{NoArg, ioctl, opcode};

const DEVICE: &str = "/dev/urandom";

/// `RNDRESEEDCRNG` of `linux/random.h`.
const RESEED: rustix::ioctl::Opcode = opcode::none(b'R', 0x07);

/// Random bytes from the host.
pub(super) struct Entropy([u8; ENTROPY_BYTES]);

impl Entropy {
    pub(super) fn parse(digits: &Secret) -> anyhow::Result<Self> {
        let mut bytes = [0; ENTROPY_BYTES];
        // The error would show a digit.
        hex::decode_to_slice(digits.reveal(), &mut bytes)
            .ok()
            .with_context(|| format!("the entropy is not {} hexadecimal digits", 2 * ENTROPY_BYTES))?;
        Ok(Self(bytes))
    }

    /// Mixes them in, and makes the generator derive a new key from its whole state. Without that, it would use the old key
    /// for up to a minute, and so would the copies that the C library keeps in processes.
    pub(super) fn feed(&self) -> anyhow::Result<()> {
        let mut device =
            OpenOptions::new().write(true).open(DEVICE).with_context(|| format!("cannot open `{DEVICE}`"))?;
        device.write_all(&self.0).with_context(|| format!("cannot write to `{DEVICE}`"))?;
        reseed(&device).context("the kernel's generator cannot be reseeded")
    }
}

#[expect(unsafe_code, reason = "rustix has no function for this request")]
fn reseed(device: &std::fs::File) -> rustix::io::Result<()> {
    // SAFETY: the request is one of this device's, and has no argument.
    unsafe { ioctl(device, NoArg::<RESEED>::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_exactly_64_bytes_in_hexadecimal_digits() {
        assert_eq!(RESEED, 0x5207);
        let entropy = Entropy::parse(&Secret::new("0aF0".repeat(32))).unwrap();
        assert_eq!(entropy.0[..4], [0x0a, 0xf0, 0x0a, 0xf0]);
        for digits in ["", &"0a".repeat(63), &"0a".repeat(65), &"0g".repeat(64)] {
            let error = Entropy::parse(&Secret::new(digits)).err().unwrap();
            assert_eq!(format!("{error:#}"), "the entropy is not 128 hexadecimal digits");
        }
    }
}
