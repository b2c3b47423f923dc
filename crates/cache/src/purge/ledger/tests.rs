//! The ledger against a list of all purges that is gone through one by one.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::purge::log::Draft;
use crate::purge::tags::hash;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn purge(ledger: &Ledger, scope: Scope, soft: bool, now: Timestamp) -> Mark {
    let Numbered::Next(mark) = ledger.number(Number::Own, now) else { unreachable!() };
    ledger.apply(&Record { mark, order: None, soft, agreed: false, scope }, now);
    mark
}

fn tags(list: &[u64]) -> Tags {
    Tags::from_hashes(list.to_vec(), false)
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        "[ab]{0,3}".prop_map(|key| Scope::Key(key.into_bytes().into())),
        "[ab]{0,3}".prop_map(|prefix| Scope::Prefix(prefix.into_bytes().into())),
        (0u64..4).prop_map(Scope::Tag),
        Just(Scope::All),
    ]
}

fn is_about(scope: &Scope, key: &[u8], tagged: &[u64]) -> bool {
    match scope {
        Scope::All => true,
        Scope::Key(one) => **one == *key,
        Scope::Prefix(prefix) => key.starts_with(prefix),
        Scope::Tag(tag) => tagged.contains(tag),
    }
}

proptest! {
    #[test]
    fn verdicts_are_those_of_a_list_of_all_purges_and_survive_being_written(
        purges in proptest::collection::vec((scope(), any::<bool>()), 0..12),
        key in "[ab]{0,4}", tagged in proptest::collection::vec(0u64..4, 0..3), since in 0usize..12,
    ) {
        let ledger = Ledger::default();
        let marks: Vec<Mark> = purges
            .iter()
            .map(|(scope, soft)| purge(&ledger, scope.clone(), *soft, NOW))
            .collect();
        let since = since.checked_sub(1).and_then(|at| marks.get(at)).map_or(PurgeSeq::default(), |mark| mark.seq);
        let newest = |wanted: bool| {
            let all = purges.iter().zip(&marks);
            all.filter(|((scope, soft), mark)| {
                *soft == wanted && mark.seq > since && is_about(scope, key.as_bytes(), &tagged)
            })
            .map(|(_, mark)| *mark)
            .max()
        };
        let expected = match (newest(false), newest(true)) {
            (Some(hard), _) => Verdict::Gone(hard),
            (None, Some(soft)) => Verdict::Stale(soft),
            (None, None) => Verdict::Untouched,
        };
        let verdict = ledger.judge(key.as_bytes(), &tags(&tagged), since);
        // A hard purge of all swallows the records before it.
        match (verdict, expected) {
            (Verdict::Gone(_), Verdict::Gone(_)) => {}
            (one, other) => prop_assert_eq!(one, other),
        }
        let again = Ledger::default();
        ledger.records().iter().for_each(|record| again.apply(record, NOW));
        prop_assert_eq!(again.judge(key.as_bytes(), &tags(&tagged), since), verdict);
        prop_assert_eq!(again.newest(), ledger.newest());
    }
}

#[test]
fn more_records_than_there_may_be_become_one_that_says_all_before() {
    let ledger = Ledger::default();
    let first = purge(&ledger, Scope::Tag(0), false, NOW);
    for tag in 1..=MAX_RECORDS as u64 {
        purge(&ledger, Scope::Tag(tag), false, NOW);
    }
    assert!(ledger.len() <= MAX_RECORDS / 4 * 3);
    // What is older than a joined record is taken in, what is newer is not.
    assert!(matches!(ledger.judge(b"", &tags(&[]), first.seq), Verdict::Gone(_)));
    let newest = ledger.newest();
    assert_eq!(ledger.judge(b"", &tags(&[3]), newest), Verdict::Untouched);
    let last = purge(&ledger, Scope::Tag(3), true, NOW);
    assert_eq!(ledger.judge(b"", &tags(&[3]), newest), Verdict::Stale(last));
    assert_eq!(ledger.judge(b"", &tags(&[4]), newest), Verdict::Untouched);
}

#[test]
fn long_keys_are_bounded_by_their_bytes() {
    let ledger = Ledger::default();
    let key = |n: u32| {
        let mut key = vec![b'x'; 16 << 10];
        key.extend(n.to_le_bytes());
        Scope::Key(key.into())
    };
    for n in 0..2048 {
        purge(&ledger, key(n), false, NOW);
        assert!(ledger.bytes() <= MAX_BYTES + ENTRY);
    }
    assert!(ledger.len() > 500);
}

#[test]
fn a_record_is_joined_when_it_is_a_month_old_and_soft_ones_stay_soft() {
    let ledger = Ledger::default();
    let old = purge(&ledger, Scope::Key((*b"k").into()), true, NOW);
    let now = NOW.plus(RETENTION).plus(Duration::from_secs(1));
    for tag in 0..=LOOK_EVERY as u64 {
        purge(&ledger, Scope::Tag(tag), false, now);
    }
    assert_eq!(ledger.judge(b"other", &tags(&[]), PurgeSeq::default()), Verdict::Stale(old));
    assert_eq!(ledger.judge(b"k", &tags(&[]), old.seq), Verdict::Untouched);
    assert!(ledger.records().iter().all(|record| record.scope != Scope::Key((*b"k").into())));
}

#[test]
fn numbers_of_callers_are_kept_and_repetitions_found() {
    let ledger = Ledger::default();
    let at = |order| ledger.number(Number::Callers(PurgeSeq::new(order)), NOW);
    let Numbered::Next(seventh) = at(7) else { unreachable!() };
    assert_eq!(seventh.seq.get(), 7);
    let order = Some(PurgeSeq::new(7));
    let scope = Scope::Tag(1);
    ledger.apply(&Record { mark: seventh, order, soft: false, agreed: false, scope }, NOW);
    assert_eq!(at(7), Numbered::Already(seventh.seq));
    assert_eq!(at(3), Numbered::Already(seventh.seq));
    // One of our own is numbered by the clock; the caller's next one is done, after it.
    let own = purge(&ledger, Scope::Tag(2), false, NOW);
    assert_eq!(own.seq.get(), NOW.as_millis());
    assert_eq!(at(8), Numbered::Next(Mark { seq: own.seq.next(), at: NOW }));
    // So is it after one that a shield numbered.
    let given = own.seq.next().next();
    assert_eq!(
        ledger.number(Number::Shields(given), NOW),
        Numbered::Next(Mark { seq: given, at: NOW })
    );
    let number = Number::Shields(given);
    let shields = draft(Scope::Tag(3), number);
    ledger.apply(&shields.number(&ledger).unwrap(), NOW);
    assert_eq!(at(8), Numbered::Next(Mark { seq: given.next(), at: NOW }));
    // And not below what caches downstream have seen.
    ledger.heard_of(PurgeSeq::new(u64::from(u32::MAX) << 20));
    let next = purge(&ledger, Scope::Tag(2), false, NOW);
    assert!(next.seq.get() > u64::from(u32::MAX) << 20);
}

/// What callers numbered all says as much elsewhere, after a restart, too; one purge without a number, or
/// one that is not known here, and it does not.
#[test]
fn a_common_number_is_one_that_callers_gave_every_purge() {
    let callers = |ledger: &Ledger, order: u64, tag: u64| {
        let number = Number::Callers(PurgeSeq::new(order));
        ledger.apply(&draft(Scope::Tag(tag), number).number(ledger).unwrap(), NOW);
    };
    let written = |ledger: &Ledger| {
        let again = Ledger::default();
        ledger.records().iter().for_each(|record| again.apply(record, NOW));
        again
    };
    let ledger = Ledger::default();
    callers(&ledger, 3, 1);
    callers(&ledger, 9, 2);
    for ledger in [&ledger, &written(&ledger)] {
        assert_eq!(ledger.common(ledger.newest()), Some(PurgeSeq::new(9)));
        assert_eq!(ledger.order(), PurgeSeq::new(9));
        assert_eq!(ledger.common(ledger.newest().next()), None, "named by a cache, unknown here");
    }
    purge(&ledger, Scope::Tag(3), false, NOW);
    callers(&ledger, 10, 4);
    for ledger in [&ledger, &written(&ledger)] {
        assert_eq!(ledger.common(ledger.newest()), None);
        assert_eq!(ledger.order(), PurgeSeq::new(10));
    }
    // A purge of everything that was made after those without a number: whoever has done it agrees.
    let all = |order: u64, agreed: bool| {
        let number = Number::Callers(PurgeSeq::new(order));
        let record = Draft { agreed, ..draft(Scope::All, number) }.number(&ledger).unwrap();
        ledger.apply(&record, NOW);
        record
    };
    all(11, false);
    assert_eq!(ledger.common(ledger.newest()), None, "it may have been made before those");
    let agreed = all(12, true);
    for ledger in [&ledger, &written(&ledger)] {
        assert_eq!(ledger.common(ledger.newest()), Some(PurgeSeq::new(12)));
    }
    // As a log has it that was not written anew since.
    let again = Ledger::default();
    purge(&again, Scope::Tag(3), false, NOW);
    again.apply(&agreed, NOW);
    assert_eq!(again.common(again.newest()), Some(PurgeSeq::new(12)));
    purge(&ledger, Scope::Tag(3), false, NOW);
    assert_eq!(ledger.common(ledger.newest()), None, "and so on");
}

fn draft(scope: Scope, number: Number) -> Draft {
    Draft { scope, soft: false, agreed: false, number, follows: None, now: NOW }
}

#[test]
fn before_tags_are_known_any_purged_tag_may_be_one_of_them() {
    let ledger = Ledger::default();
    let before = ledger.newest();
    let mark = purge(&ledger, Scope::Tag(hash(b"t")), false, NOW);
    assert_eq!(ledger.judge_untagged(b"k", before), Verdict::Gone(mark));
    assert_eq!(ledger.judge_untagged(b"k", mark.seq), Verdict::Untouched);
    assert_eq!(
        ledger.judge(b"k", &Tags::from_hashes(Vec::new(), true), before),
        Verdict::Gone(mark)
    );
    assert_eq!(ledger.judge(b"k", &tags(&[]), before), Verdict::Untouched);
}
