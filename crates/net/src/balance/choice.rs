//! The choice among members, by numbers alone: rendezvous order, bounded by load, spread where a key
//! is hot.
//!
//! A member is *full* when it has more than `factor` of its share of what is under way here
//! (Mirrokni, Thorup and Zadimoghaddam, 2016), and more than `slack`: with little under way, all of
//! it may be where its key is at home.

use super::BalanceConfig;

/// What is known of a member when a choice is made.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its share beside those of the others.
    pub weight: u32,
    /// Requests that it has and did not finish.
    pub under_way: u64,
    /// Whether it may be asked.
    pub is_up: bool,
    /// It was asked for this request before.
    pub is_tried: bool,
}

/// Chooses among members: the first of `order` that is up and not full, and for a hot key the least
/// loaded of the first `replicas` of those. Where all that are up are full, the first of them; where
/// none is up, the first that was not asked. `order` holds places in `states`, of which it may leave out
/// some; none of it that was not asked gives `None`.
pub fn choose(
    order: &[usize],
    states: &[Candidate],
    is_hot: bool,
    config: &BalanceConfig,
) -> Option<usize> {
    let known = || order.iter().filter_map(|at| states.get(*at).map(|state| (*at, state)));
    let untried = || known().filter(|(_, state)| !state.is_tried);
    let up = || untried().filter(|(_, state)| state.is_up);
    let all = || states.iter().filter(|state| state.is_up);
    let weights: u64 = all().map(|state| u64::from(state.weight)).sum();
    let total: u64 = all().map(|state| state.under_way).sum();
    let open = up().filter(|(_, state)| {
        let share = u128::from(total + 1) * u128::from(state.weight);
        let whole = 100 * u128::from(weights.max(1));
        let most = (share * u128::from(config.factor)).div_ceil(whole);
        u128::from(state.under_way) < most.max(config.slack.into())
    });
    let replicas = if is_hot { config.replicas.max(1) } else { 1 };
    // Of equally loaded ones the first.
    let load = |state: &Candidate| {
        u128::from(state.under_way) * (1 << 32) / u128::from(state.weight.max(1))
    };
    let best = open.take(replicas).min_by_key(|(_, state)| load(state));
    best.or_else(|| up().next()).or_else(|| untried().next()).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn states(loads: &[u64]) -> Vec<Candidate> {
        let state =
            |&under_way: &u64| Candidate { weight: 1, under_way, is_up: true, is_tried: false };
        loads.iter().map(state).collect()
    }

    fn config() -> BalanceConfig {
        BalanceConfig::default().slack(4)
    }

    #[test]
    fn a_key_is_at_home_until_its_member_is_full() {
        let choose = |loads: &[u64]| choose(&[1, 0, 2], &states(loads), false, &config());
        assert_eq!(choose(&[0, 3, 0]), Some(1), "with little under way there is no full one");
        assert_eq!(choose(&[0, 4, 0]), Some(0));
        // (29 + 1) × 1.25 / 3 = 12.5
        assert_eq!(choose(&[9, 12, 8]), Some(1));
        assert_eq!(choose(&[8, 13, 8]), Some(0));
    }

    #[test]
    fn who_is_down_or_was_asked_is_passed_over() {
        let mut states = states(&[0, 0, 0]);
        states[1].is_up = false;
        assert_eq!(choose(&[1, 0, 2], &states, false, &config()), Some(0));
        states[0].is_tried = true;
        assert_eq!(choose(&[1, 0, 2], &states, false, &config()), Some(2));
        states[2].is_tried = true;
        assert_eq!(choose(&[1, 0, 2], &states, false, &config()), Some(1), "better than nobody");
        states[1].is_tried = true;
        assert_eq!(choose(&[1, 0, 2], &states, false, &config()), None);
    }

    #[test]
    fn a_hot_key_has_replicas() {
        let choose = |loads: &[u64], is_hot| choose(&[1, 0, 2], &states(loads), is_hot, &config());
        assert_eq!(choose(&[0, 1, 0], false), Some(1));
        assert_eq!(choose(&[0, 1, 0], true), Some(0));
        assert_eq!(choose(&[2, 2, 0], true), Some(1), "two replicas, not three");
    }

    proptest! {
        /// However unequal the keys are, none has more than its bound.
        #[test]
        fn load_is_bounded(
            weights in proptest::collection::vec(1u32..5, 1..8),
            orders in proptest::collection::vec(any::<u64>(), 1..400),
            is_hot in any::<bool>(),
        ) {
            let config = config();
            let mut states: Vec<Candidate> = weights
                .iter()
                .map(|&weight| Candidate { weight, under_way: 0, is_up: true, is_tried: false })
                .collect();
            let whole: u32 = weights.iter().sum();
            for (total, seed) in (0u64..).zip(orders) {
                let mut order: Vec<usize> = (0..states.len()).collect();
                order.rotate_left(seed as usize % 2 % states.len());
                let at = choose(&order, &states, is_hot, &config).unwrap();
                states[at].under_way += 1;
                let share = (total + 1) as f64 * f64::from(weights[at]) / f64::from(whole);
                let most = (share * 1.25).ceil().max(4.0) as u64;
                prop_assert!(states[at].under_way <= most, "{} of {most}", states[at].under_way);
            }
        }
    }
}
