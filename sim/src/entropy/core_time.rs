//! What the runs have cost: processor time, for budgets and reports. No run sees it.
#![expect(unsafe_code, reason = "getrusage is a system call of the C library")]

use std::time::Duration;

/// The processor time that this process, and the forks it has waited for, have used so far.
pub fn core_time() -> Duration {
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

fn of(who: libc::c_int) -> Duration {
    // SAFETY: a `rusage` is plain numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes the struct it is given, and nothing else.
    let failed = unsafe { libc::getrusage(who, &raw mut usage) } != 0;
    assert!(
        !failed,
        "getrusage knows both RUSAGE_SELF and RUSAGE_CHILDREN"
    );
    let time = |value: libc::timeval| {
        let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
        let micros = u64::try_from(value.tv_usec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time() {
        let before = core_time();
        let sum = (0..20_000_000_u64).fold(0, |sum, i| std::hint::black_box(sum ^ i));
        assert!(core_time() > before, "{sum}");
    }
}
