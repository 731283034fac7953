//! Which registers a task is compiled for.
#![allow(unsafe_code, reason = "calls of functions compiled for instructions found at run time")]

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Portable, Simd};

/// Something to do with any kind of vectors. `run` and all that it calls must be inlined.
pub(super) trait Task {
    fn run<S: Simd>(self);
}

/// Registers that this machine has. They decide the speed and nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Registers {
    /// The widest that this machine has.
    pub(super) fn widest() -> Self {
        let [.., widest] = Self::here();
        widest
    }

    /// From narrow to wide; where this machine has none, the next narrower again.
    pub(super) fn here() -> [Self; 3] {
        let portable = Self(Kind::Portable);
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2");
            let avx2 = if has_avx2 { Self(Kind::Avx2) } else { portable };
            let has_avx512 = is_x86_feature_detected!("avx512f");
            [portable, avx2, if has_avx512 { Self(Kind::Avx512) } else { avx2 }]
        }
        #[cfg(not(target_arch = "x86_64"))]
        [portable; 3]
    }

    pub(super) fn run(self, task: impl Task) {
        match self.0 {
            Kind::Portable => task.run::<Portable>(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `here` has found the instructions, and nothing else makes this value.
            Kind::Avx2 => unsafe { with_avx2(task) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx512 => unsafe { with_avx512(task) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512(task: impl Task) {
    task.run::<Avx512>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(task: impl Task) {
    task.run::<Avx2>();
}
