//! A source of random numbers for WASI, made of a function that fills bytes.

use std::convert::Infallible;

use rand_core::TryRng;
use rand_core::utils::next_word_via_fill;

/// A source whose numbers come from the function.
pub(super) struct RandomSource<F>(pub F);

impl<F: FnMut(&mut [u8])> TryRng for RandomSource<F> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        (self.0)(bytes);
        Ok(())
    }
}
