//! What processes have used so far, as the kernel counts it.

use std::fs;
use std::io;

/// User and system time of a process, of its living descendants and of those that it has waited for.
pub(super) fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let all = Stat::all()?;
    let ticks: u64 = family(pid, &all).map(|stat| stat.cpu_ticks).sum();
    Ok(ticks as f64 / USER_HZ)
}

/// Memory of a process and its descendants; shared pages are divided among those who share them.
pub(super) fn pss_kib(pid: u32) -> io::Result<f64> {
    let all = Stat::all()?;
    let mut kib = 0.0;
    for stat in family(pid, &all) {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let pss: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib += pss.ok_or_else(|| io::Error::other("smaps_rollup has no Pss"))?;
    }
    Ok(kib)
}

/// How many descendants a process has.
pub(super) fn descendants(pid: u32) -> io::Result<usize> {
    let all = Stat::all()?;
    Ok(family(pid, &all).count().saturating_sub(1))
}

/// Of `/proc/PID/stat`, what matters here.
struct Stat {
    pid: u32,
    parent: u32,
    /// utime, stime, and those of children that were waited for.
    cpu_ticks: u64,
}

impl Stat {
    fn all() -> io::Result<Vec<Self>> {
        let entries = fs::read_dir("/proc")?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(pids.filter_map(Self::read).collect())
    }

    /// None for a process that has just ended.
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may contain anything.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let cpu_ticks = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Some(Self { pid, parent: fields[1].parse().ok()?, cpu_ticks })
    }
}

/// `pid` itself and all its descendants.
fn family(pid: u32, all: &[Stat]) -> impl Iterator<Item = &Stat> {
    let mut members = vec![pid];
    let mut next = 0;
    while next < members.len() {
        let parent = members[next];
        members.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid));
        next += 1;
    }
    all.iter().filter(move |stat| members.contains(&stat.pid))
}

/// Linux tells all times to programs in this unit, whatever its own clock is.
const USER_HZ: f64 = 100.0;
