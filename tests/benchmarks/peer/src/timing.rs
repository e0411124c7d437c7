// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

//! Samples of a clock and of the processor, printed as our benchmarks do with --figures.

const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;

#[repr(C)]
#[derive(Default)]
struct Timespec {
    seconds: std::ffi::c_long,
    nanoseconds: std::ffi::c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

fn read(clock: i32) -> f64 {
    let mut time = Timespec::default();
    // SAFETY: the clocks exist on Linux, and the structure is C's.
    unsafe { clock_gettime(clock, &mut time) };
    time.seconds as f64 * 1e9 + time.nanoseconds as f64
}

#[derive(Default)]
pub struct Timing {
    clock: Vec<f64>,
    cpu: Vec<f64>,
}

impl Timing {
    /// A sample: what it took for each of `n`.
    pub fn take<R>(&mut self, n: usize, work: impl FnOnce() -> R) -> R {
        let (clock, cpu) = (read(CLOCK_MONOTONIC), read(CLOCK_PROCESS_CPUTIME_ID));
        let result = work();
        self.cpu.push((read(CLOCK_PROCESS_CPUTIME_ID) - cpu) / n as f64);
        self.clock.push((read(CLOCK_MONOTONIC) - clock) / n as f64);
        result
    }

    pub fn print_clock_and_cpu(&self, divisor: f64, unit: &str) {
        print("peer", &self.clock, divisor, unit);
        print("peer, processor", &self.cpu, divisor, unit);
    }

    pub fn print_cpu(&self, name: &str, unit: &str) {
        print(name, &self.cpu, 1.0, unit);
    }
}

fn print(name: &str, samples: &[f64], divisor: f64, unit: &str) {
    let samples: Vec<String> = samples.iter().map(|sample| (sample / divisor).to_string()).collect();
    println!("\t{name}\t{unit}\t{}", samples.join("\t"));
}
