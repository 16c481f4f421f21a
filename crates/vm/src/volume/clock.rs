//! The time that every file of a volume has, so that the same content gives the same bytes.

use fatfs::{Date, DateTime, Time, TimeProvider};

/// Serial number of every volume: the day of [`FIXED`].
pub(super) const VOLUME_ID: u32 = 0x2026_0101;

/// A clock that does not advance.
pub(super) static FIXED: Fixed = Fixed;

#[derive(Debug)]
pub(super) struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        Date { year: 2026, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}
