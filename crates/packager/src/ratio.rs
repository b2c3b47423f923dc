//! Fractions in lowest terms.

/// `a`/`b` in lowest terms; both parts stay as they are where one is zero.
pub(crate) fn reduce(a: u32, b: u32) -> (u32, u32) {
    let divisor = gcd(u64::from(a), u64::from(b)) as u32;
    if a == 0 || b == 0 {
        return (a, b);
    }
    (a / divisor, b / divisor)
}

/// `a`/`b` in lowest terms, and then coarsened until both fit 32 bits.
pub(crate) fn reduce_wide(a: u64, b: u64) -> Option<(u32, u32)> {
    let divisor = gcd(a, b).max(1);
    let (mut a, mut b) = (a / divisor, b / divisor);
    while a > u64::from(u32::MAX) || b > u64::from(u32::MAX) {
        a >>= 1;
        b >>= 1;
    }
    (a > 0 && b > 0).then(|| reduce(a as u32, b as u32))
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_terms() {
        assert_eq!(reduce(50, 2), (25, 1));
        assert_eq!(reduce(0, 2), (0, 2));
        assert_eq!(reduce_wide(30_000_000_000, 1_001_000_000), Some((30_000, 1_001)));
        assert_eq!(reduce_wide(u64::MAX, 1), None);
        assert_eq!(reduce_wide(0, 1), None);
    }
}
