//! The machine's memory as the host has to store it.

use std::fs;

use anyhow::Context as _;
use memmap2::{Advice, MmapMut};

/// The free blocks of every zone, by their sizes.
const BUDDYINFO: &str = "/proc/buddyinfo";

/// The zone that the kernel keeps for old devices: programs get no memory from it.
const RESERVED_ZONE: &str = "DMA";

/// This much always stays free.
const MARGIN: usize = 128 << 20;

/// Drops from the page cache what no program has mapped: it is on the disk as well, and need not be stored twice. Returns what
/// was free before.
pub(super) fn drop_page_cache() -> anyhow::Result<Free> {
    rustix::fs::sync();
    let before = Free::now()?;
    fs::write("/proc/sys/vm/drop_caches", "1").context("cannot drop the page cache")?;
    Ok(before)
}

/// Makes the kernel zero the memory that was used and is free again, because the host would have to store what is left in it, and
/// a page of zeros costs nothing. `before` is what was free before the page cache was dropped.
///
/// Memory that was never used should not be touched: the host does not even have it yet. It lies in blocks of the largest size. What
/// was used comes back in fragments; or, where all of such a block has come back, as one that is given out before those that were
/// never used. The kernel serves a program from the fragments first. So as much memory is taken as there were fragments and as
/// the page cache has given back, and freed again. Transparent huge pages would come from large blocks, and are declined.
pub(super) fn zero_free_memory(before: Free) -> anyhow::Result<()> {
    let now = Free::now()?;
    let used = before.fragments + now.total.saturating_sub(before.total);
    let length = used.min(now.total.saturating_sub(MARGIN));
    if length == 0 {
        return Ok(());
    }
    let region = MmapMut::map_anon(length).context("cannot map memory")?;
    region.advise(Advice::NoHugePage).context("cannot decline huge pages")?;
    // In one system call and not at a fault for each page.
    region.advise(Advice::PopulateWrite).context("cannot take memory")
}

/// Free memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Free {
    total: usize,
    /// In blocks below the largest size.
    fragments: usize,
}

impl Free {
    fn now() -> anyhow::Result<Self> {
        let page = rustix::param::page_size();
        let text = fs::read_to_string(BUDDYINFO).with_context(|| format!("cannot read `{BUDDYINFO}`"))?;
        Self::parse(&text, page).with_context(|| format!("cannot understand `{BUDDYINFO}`"))
    }

    /// Lines are `Node 0, zone DMA32 COUNT…`, with the numbers of free blocks of one page, of two, of four and so on.
    fn parse(text: &str, page: usize) -> Option<Self> {
        let mut free = Self { total: 0, fragments: 0 };
        for line in text.lines() {
            let mut words = line.split_once("zone")?.1.split_whitespace();
            let zone = words.next()?;
            let blocks: Vec<usize> = words.map(|count| count.parse().ok()).collect::<Option<_>>()?;
            if zone == RESERVED_ZONE {
                continue;
            }
            let largest = blocks.len().checked_sub(1)?;
            for (order, count) in blocks.into_iter().enumerate() {
                let bytes = (count * page) << order;
                free.total += bytes;
                if order < largest {
                    free.fragments += bytes;
                }
            }
        }
        Some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_what_is_free_below_the_largest_size() {
        let text = "Node 0, zone      DMA      1      0      0      1      2      1      1      0      1      1      3 \n\
                    Node 0, zone    DMA32      5      3      0      0      0      0      0      0      0      2    350 \n";
        let fragments = (5 + 3 * 2 + 2 * 512) * 4096;
        assert_eq!(Free::parse(text, 4096), Some(Free { total: fragments + 350 * 1024 * 4096, fragments }));
        assert_eq!(Free::parse("Node 0, zone DMA32 x\n", 4096), None);
    }
}
