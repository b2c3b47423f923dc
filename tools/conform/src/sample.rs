//! Which segments of a rendition are fetched.

/// How much media is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Every segment.
    All,
    /// At most this many of each rendition.
    Some(usize),
}

impl Default for Sampling {
    fn default() -> Self {
        Self::Some(12)
    }
}

impl Sampling {
    /// The numbers of the segments to look at, of `count`. Many rules are about neighbours, so a
    /// sample is three runs: from the start, from the middle, and up to the end.
    pub(crate) fn choose(self, count: usize) -> Vec<usize> {
        let most = match self {
            Self::All => count,
            Self::Some(most) => most.max(1),
        };
        if count <= most {
            return (0..count).collect();
        }
        let tail = most / 4;
        let middle = most / 4;
        let head = most - tail - middle;
        let from = (head + (count - tail - head).saturating_sub(middle) / 2).min(count);
        (0..head).chain(from..from + middle).chain(count - tail..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_start_the_middle_and_the_end() {
        assert_eq!(Sampling::Some(8).choose(100), [0, 1, 2, 3, 50, 51, 98, 99]);
        assert_eq!(Sampling::Some(12).choose(3), [0, 1, 2]);
        assert_eq!(Sampling::All.choose(4), [0, 1, 2, 3]);
        for (most, count) in [(1, 5), (2, 5), (3, 5), (4, 5), (7, 8), (12, 13)] {
            let chosen = Sampling::Some(most).choose(count);
            assert_eq!(chosen.len(), most);
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen[most - 1] < count);
        }
    }
}
