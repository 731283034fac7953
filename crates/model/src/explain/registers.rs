//! Which registers the sweeps are compiled for.
#![allow(unsafe_code, reason = "calls of functions compiled for instructions found at run time")]

use super::blocks::Work;
use super::lanes::Lanes;

/// Registers that the compiler may use. They decide the speed and nothing else: the operations are
/// the same, so are the bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// What every machine of the target has.
    Least,
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

    /// Those that this machine has, from narrow to wide; the last known stands in for those it has not.
    pub(super) fn here() -> [Self; 3] {
        let least = Self(Kind::Least);
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = if is_x86_feature_detected!("avx2") { Self(Kind::Avx2) } else { least };
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            [least, avx2, if has_avx512 { Self(Kind::Avx512) } else { avx2 }]
        }
        #[cfg(not(target_arch = "x86_64"))]
        [least; 3]
    }

    pub(super) fn run<V: Lanes>(self, work: &mut Work<'_, V>) {
        match self.0 {
            Kind::Least => work.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `here` has found the instructions, and nothing else makes this value.
            Kind::Avx2 => unsafe { with_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx512 => unsafe { with_avx512(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn with_avx512<V: Lanes>(work: &mut Work<'_, V>) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<V: Lanes>(work: &mut Work<'_, V>) {
    work.run();
}
