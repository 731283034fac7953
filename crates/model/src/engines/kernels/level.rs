//! The kernel of a level: the operations of a module, which are compiled for its features.

/// Defines the kernel type `$Kernel` of the functions around it that are named as the operations of
/// [`Kernel`](super::Kernel), all of which need at most `$features`, and `run`, which alone makes one.
macro_rules! kernel_of_level {
    ($Kernel:ident, $features:literal) => {
        /// Made only by [`run`], which only [`super::Instructions`] calls, after detection.
        #[derive(Clone, Copy)]
        pub(super) struct $Kernel(());

        /// Compiles and runs a task for this level.
        pub(super) fn run<T: Task>(task: T) -> T::Output {
            #[target_feature(enable = $features)]
            fn with_features<T: Task>(task: T) -> T::Output {
                task.run($Kernel(()))
            }
            // SAFETY: this level and wider ones exist only where these features were detected.
            unsafe { with_features(task) }
        }

        impl Kernel for $Kernel {
            #[inline(always)]
            fn count_below(self, sorted: &[f64; 16], value: f64) -> usize {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { count_below(sorted, value) }
            }

            #[inline(always)]
            fn count_all(self, thresholds: &[f64], values: &[f64; LANES]) -> [u8; LANES] {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { count_all(thresholds, values) }
            }

            #[inline(always)]
            fn count_columns(self, thresholds: &[[f64; 8]], values: &[f64; 8]) -> ([i8; 8], u8) {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { count_columns(thresholds, values) }
            }

            #[inline(always)]
            fn blend(self, bits: u64, unset: i8, set: i8) -> Lanes {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { blend(bits, unset, set) }
            }

            #[inline(always)]
            unsafe fn select<const V: usize>(
                self,
                codes: &[Lanes; V],
                mask_and_threshold: (i8, i8),
                operands: [Operand; 2],
                out: *mut Lanes,
            ) {
                // SAFETY: a value of this type exists only where the features were detected; the rest
                // is the caller's promise.
                unsafe { select(codes, mask_and_threshold, operands, out) }
            }

            #[inline(always)]
            fn add_values(
                self,
                values: &[f64; 256],
                n_leaves: usize,
                index: &[Lanes],
                sums: &mut [[f64; LANES]],
            ) {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { add_values(values, n_leaves, index, sums) }
            }

            #[inline(always)]
            fn look_up<const N: usize>(self, table: &[Lanes; N], index: &Lanes) -> Lanes {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { look_up(table, index) }
            }

            #[inline(always)]
            fn greater<const N: usize>(
                self,
                table: &[Lanes; N],
                index: &Lanes,
                than: &Lanes,
            ) -> u64 {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { greater(table, index, than) }
            }

            #[inline(always)]
            fn exits(self, masks: &[u64; 8], left_of: &[[u32; 16]], exits: &mut [u32; 16]) {
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { self::exits(masks, left_of, exits) }
            }
        }
    };
}
