//! The interposed symbols of the C library. Each asks the thread-local whether its thread simulates and else makes
//! the system call itself.
//!
//! Interposed: `clock_gettime`, `epoll_wait`, `getrandom`, `getentropy`, `syscall` (for `SYS_getrandom`), `nanosleep`,
//! `clock_nanosleep`, `exit`, `pause`, `pthread_create`. What the C library calls within itself is not seen.
//!
//! `exit` while a replica is stepped notes the status and unwinds the task that called it: std calls it through frames
//! that have nothing to clean up. See [`reopen_exit`] for what std keeps of it, and [`pause`] for two at once.
#![expect(
    unsafe_code,
    reason = "interposing C symbols is what this module is for"
)]

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use super::{
    HOOKED, draw, on_clock_read, on_epoll_wait, on_exit, on_exit_refused, on_sleep,
    on_thread_spawned,
};

/// The payload of the unwinding that takes the place of a replica's exit.
struct ReplicaExit;

fn simulated() -> bool {
    HOOKED
        .try_with(|hooked| hooked.active.get())
        .unwrap_or(false)
}

fn stepping() -> bool {
    HOOKED
        .try_with(|hooked| hooked.active.get() && hooked.stepping.get())
        .unwrap_or(false)
}

/// A system call without the C library.
///
/// # Safety
/// The arguments must be what the kernel expects of call `number`.
unsafe fn raw(number: c_long, args: [usize; 6]) -> isize {
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers are those of the kernel's calling convention; rcx and r11 are clobbered by it.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the registers are those of the kernel's calling convention.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3], in("x4") args[4], in("x5") args[5],
            options(nostack),
        );
    }
    result
}

/// The kernel's answer as the C library gives it: -1 and `errno`.
fn answer(result: isize) -> isize {
    if (-4095..0).contains(&result) {
        // SAFETY: the address of this thread's errno is always valid.
        unsafe { *libc::__errno_location() = -result as c_int };
        -1
    } else {
        result
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let wall = matches!(
        clock,
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI
    );
    let monotonic = matches!(
        clock,
        libc::CLOCK_MONOTONIC
            | libc::CLOCK_MONOTONIC_COARSE
            | libc::CLOCK_MONOTONIC_RAW
            | libc::CLOCK_BOOTTIME
    );
    if (wall || monotonic) && simulated() {
        let us = on_clock_read(wall);
        // SAFETY: the caller hands in a timespec to be written.
        unsafe {
            (*time).tv_sec = (us / 1_000_000) as libc::time_t;
            (*time).tv_nsec = (us % 1_000_000 * 1_000) as c_long;
        }
        return 0;
    }
    // SAFETY: handed on as it came.
    answer(unsafe {
        raw(
            libc::SYS_clock_gettime,
            [clock as usize, time as usize, 0, 0, 0, 0],
        )
    }) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    max: c_int,
    timeout: c_int,
) -> c_int {
    if simulated() {
        on_epoll_wait(timeout);
        return 0;
    }
    let args = [
        epoll as usize,
        events as usize,
        max as usize,
        timeout as usize,
        0,
        8,
    ];
    // SAFETY: handed on as it came; without a signal mask `epoll_pwait` is `epoll_wait`.
    answer(unsafe { raw(libc::SYS_epoll_pwait, args) }) as c_int
}

/// Fills a buffer from a stream.
///
/// # Safety
/// `buffer` must be valid for `length` bytes.
unsafe fn fill(buffer: *mut c_void, length: usize, hash_key: bool) {
    // SAFETY: the caller hands in a buffer of that length to be written.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&draw(hash_key).to_le_bytes()[..chunk.len()]);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(
    buffer: *mut c_void,
    length: libc::size_t,
    flags: c_uint,
) -> libc::ssize_t {
    // Allocators seed themselves with GRND_NONBLOCK: what they draw must not shift what operators draw.
    if flags & libc::GRND_NONBLOCK == 0 && simulated() {
        if length > 0 {
            // SAFETY: as the caller promises. std asks for hash keys with GRND_INSECURE.
            unsafe { fill(buffer, length, flags & libc::GRND_INSECURE != 0) };
        }
        return length as libc::ssize_t;
    }
    // SAFETY: handed on as it came.
    answer(unsafe {
        raw(
            libc::SYS_getrandom,
            [buffer as usize, length, flags as usize, 0, 0, 0],
        )
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, length: libc::size_t) -> c_int {
    // SAFETY: handed on as it came.
    if unsafe { getrandom(buffer, length, 0) } < 0 {
        -1
    } else {
        0
    }
}

// Variadic in C; its arguments are words in registers, on both architectures.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_getrandom {
        // SAFETY: the arguments are those of the call.
        return unsafe { getrandom(a as *mut c_void, b, c as c_uint) } as c_long;
    }
    // SAFETY: handed on as it came.
    answer(unsafe { raw(number, [a, b, c, d, e, f]) }) as c_long
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(
    request: *const libc::timespec,
    remain: *mut libc::timespec,
) -> c_int {
    if simulated() {
        // SAFETY: the caller hands in a timespec to be read.
        on_sleep(unsafe { us(request) });
        return 0;
    }
    // SAFETY: handed on as it came.
    answer(unsafe {
        raw(
            libc::SYS_nanosleep,
            [request as usize, remain as usize, 0, 0, 0, 0],
        )
    }) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    request: *const libc::timespec,
    remain: *mut libc::timespec,
) -> c_int {
    if simulated() {
        // SAFETY: the caller hands in a timespec to be read.
        let asked = unsafe { us(request) };
        let absolute = flags & libc::TIMER_ABSTIME != 0;
        on_sleep(if absolute {
            asked.saturating_sub(on_clock_read(clock == libc::CLOCK_REALTIME))
        } else {
            asked
        });
        return 0;
    }
    let args = [
        clock as usize,
        flags as usize,
        request as usize,
        remain as usize,
        0,
        0,
    ];
    // SAFETY: handed on as it came. This call returns the error itself.
    -unsafe { raw(libc::SYS_clock_nanosleep, args) } as c_int
}

/// # Safety
/// `time` must point to a timespec.
unsafe fn us(time: *const libc::timespec) -> u64 {
    // SAFETY: as the caller promises.
    let (seconds, nanoseconds) = unsafe { ((*time).tv_sec, (*time).tv_nsec) };
    (seconds.max(0) as u64)
        .saturating_mul(1_000_000)
        .saturating_add((nanoseconds.max(0) as u64).div_ceil(1_000))
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn exit(status: c_int) -> ! {
    if stepping() {
        on_exit(status);
        // SAFETY: this thread is in std's `exit` and comes back from it.
        unsafe { reopen_exit() };
        std::panic::resume_unwind(Box::new(ReplicaExit));
    }
    // SAFETY: the C library's own function of that name and type.
    unsafe {
        let real: extern "C" fn(c_int) -> ! = std::mem::transmute(next_symbol(c"exit".as_ptr()));
        real(status)
    }
}

unsafe extern "C" {
    // Set by the linker: where the statics begin that are zero at first, and where they end.
    static __bss_start: u8;
    static _end: u8;
}

/// Takes back that this thread is ending the process.
///
/// std lets only one thread of a process exit: it keeps that thread's `errno` address in a static of its own, makes every
/// other thread wait for ever, and aborts when the same one comes again. A replica's exit must not use that up: the
/// next run's would abort, and the harness's own would hang. The static has no name to link to, but it is the one word
/// among the zero-initialised ones that holds this thread's `errno` address.
///
/// # Safety
/// The thread must be inside `std::process::exit` and must leave it by unwinding.
unsafe fn reopen_exit() {
    // SAFETY: the address of this thread's errno is always valid; the linker's symbols have addresses, nothing is read.
    let (own, start, end) = unsafe {
        (
            libc::__errno_location() as usize,
            &raw const __bss_start as usize,
            &raw const _end as usize,
        )
    };
    let mut at = start.next_multiple_of(size_of::<usize>());
    while at + size_of::<usize>() <= end {
        // SAFETY: an aligned word of this program's own statics; other threads' writes are not torn by an atomic access.
        let word = unsafe { &*(at as *const std::sync::atomic::AtomicUsize) };
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        if word.load(relaxed) == own {
            let _ = word.compare_exchange(own, 0, relaxed, relaxed);
        }
        at += size_of::<usize>();
    }
}

/// Where std keeps a thread for ever that exits while another is between std's `exit` and [`reopen_exit`], of a replica in
/// another run. The status is not to be had here: the replica unwinds, and the whole run is to be made again.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn pause() -> c_int {
    if stepping() {
        on_exit_refused();
        std::panic::resume_unwind(Box::new(ReplicaExit));
    }
    // SAFETY: the C library's own function of that name and type.
    unsafe {
        let real: extern "C" fn() -> c_int = std::mem::transmute(next_symbol(c"pause".as_ptr()));
        real()
    }
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    if stepping() {
        on_thread_spawned();
    }
    type Create = unsafe extern "C" fn(
        *mut libc::pthread_t,
        *const libc::pthread_attr_t,
        Start,
        *mut c_void,
    ) -> c_int;
    // SAFETY: the C library's own function of that name and type; handed on as it came.
    unsafe {
        let real: Create = std::mem::transmute(next_symbol(c"pthread_create".as_ptr()));
        real(thread, attributes, start, argument)
    }
}

/// The C library's definition of a symbol that is interposed here.
///
/// # Safety
/// The caller must use it with its true type.
unsafe fn next_symbol(name: *const c_char) -> *mut c_void {
    // SAFETY: the name is a C string.
    let symbol = unsafe { libc::dlsym(libc::RTLD_NEXT, name) };
    assert!(!symbol.is_null(), "the C library has this symbol");
    symbol
}

/// Makes sure that the linker keeps the symbols above, and that warming up comes before anything of `main`.
#[used]
// SAFETY: the section holds pointers to functions of this type, called once before `main`.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = {
    extern "C" fn at_start() {
        super::warm_up();
    }
    at_start
};

/// Refers to this file's objects, so that they are linked into every binary that simulates.
pub(super) fn keep() {
    std::hint::black_box(&raw const AT_START);
}
