//! What holds of claims of any kind, when one of our keys has signed them.

use headwater_edge::Country;
use headwater_edge::tokens::{Asked, Refusal, Verifier};
use headwater_net::Protocol;
use http::Request;
use proptest::prelude::*;

use super::{NOW, Value, asked, bytes, int, list, mac0, map, payload, tag, text, verifier, verify};

/// Claims that something is made of.
const KNOWN: [i64; 18] =
    [1, 2, 3, 4, 5, 6, 7, 308, 309, 310, 311, 312, 313, 314, 315, 316, 322, 323];

/// Any value of CBOR, in a few levels.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(int),
        (-3i64..9).prop_map(int),
        any::<f64>().prop_map(Value::Float),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Value::Bytes),
        "[ -~é]{0,6}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![(-3i64..9).prop_map(int), inner.clone()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key, inner.clone()), 0..4).prop_map(Value::Map),
            (prop_oneof![Just(52), Just(54), any::<u64>()], inner)
                .prop_map(|(number, value)| tag(number, value)),
        ]
    })
}

/// A label: of a claim that is known, of another, or none.
fn any_label() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => prop::sample::select(&KNOWN[..]).prop_map(int),
        1 => any::<i64>().prop_map(int),
        1 => any_value(),
    ]
}

/// A claim as issuers write it, which mostly lets in what [`judged`] asks for.
fn claim() -> impl Strategy<Value = (i64, Value)> {
    let now = NOW as i64;
    let one =
        |holds: Value, refuses: Value| prop_oneof![8 => Just(holds), 1 => Just(refuses)].boxed();
    let of = |label: i64, value: BoxedStrategy<Value>| value.prop_map(move |value| (label, value));
    let either = |label, holds, refuses| of(label, one(holds, refuses));
    let path = |kind: i64, value: Value| map([(int(3), map([(int(kind), value)]))]);
    let network = |bits: i64, octets: &[u8]| list([tag(52, list([int(bits), bytes(octets)]))]);
    let device = |begins: &str| map([(text("X-Device"), map([(int(1), text(begins))]))]);
    let renewal = |way: i64| map([(int(0), int(way)), (int(1), int(120)), (int(2), int(30))]);
    prop_oneof![
        of(1, "[a-z]{0,4}".prop_map(Value::Text).boxed()),
        of(2, "[a-z]{0,4}".prop_map(Value::Text).boxed()),
        either(3, list([]), text("others")),
        of(4, (now - 8..now + 60).prop_map(int).boxed()),
        of(5, (now - 60..now + 8).prop_map(int).boxed()),
        of(6, any::<i64>().prop_map(int).boxed()),
        of(7, prop::collection::vec(any::<u8>(), 0..6).prop_map(Value::Bytes).boxed()),
        of(308, (0i64..3).prop_map(int).boxed()),
        of(309, (0.0..=1.0f64).prop_map(|one| list([Value::Float(one), bytes(b"")])).boxed()),
        either(310, int(1), int(2)),
        either(311, network(24, &[192, 0, 2]), network(8, &[10])),
        either(312, path(1, text("/films/7/")), path(1, text("/films/8/"))),
        either(312, path(4, list([text(r"/films/\d/.*")])), path(4, list([text("films")]))),
        either(313, list([text("PUT"), text("GET")]), list([text("PUT")])),
        either(314, list([bytes(b"h3"), bytes(b"h2")]), list([bytes(b"h3")])),
        either(315, device("tv-"), device("phone-")),
        either(316, list([text("FR"), text("DE")]), list([])),
        of(
            322,
            Just(map([(int(4), list([int(307), map([(text("Location"), text("/"))])]))])).boxed()
        ),
        of(323, (0i64..4).prop_map(renewal).boxed()),
    ]
}

/// Claims of different labels.
fn claims() -> impl Strategy<Value = Vec<(i64, Value)>> {
    prop::collection::vec(claim(), 0..8).prop_map(|mut claims| {
        claims.sort_by_key(|(label, _)| *label);
        claims.dedup_by_key(|(label, _)| *label);
        claims
    })
}

/// What comes of claims, for a request of which everything is known.
fn judged(verifier: &Verifier, claims: Vec<(i64, Value)>) -> Result<(), Refusal> {
    let request = Request::builder().header("x-device", "tv-1").body(()).unwrap();
    let wished = Asked {
        host: "video.example",
        headers: request.headers(),
        address: "192.0.2.7".parse().ok(),
        protocol: Some(Protocol::H2),
        country: Country::new("DE"),
        ..asked("/films/7/a.m4s")
    };
    verify(verifier, &mac0(payload(claims)), &wished)
}

proptest! {
    /// Values of any shape are read or refused, and a claim that is not known refuses beside any others.
    #[test]
    fn claims_of_any_shape_are_read_or_refused(
        claims in prop::collection::vec((any_label(), any_value()), 0..5)
    ) {
        let known = KNOWN.map(int);
        let are_known = claims.iter().all(|(label, _)| known.contains(label));
        let mut bytes = Vec::new();
        coset::cbor::ser::into_writer(&Value::Map(claims.clone()), &mut bytes).unwrap();
        let judged = verify(&verifier().endless(true), &mac0(bytes), &asked("/films/7/a.m4s"));
        prop_assert!(are_known || judged.is_err(), "{claims:?}");
    }

    #[test]
    fn what_is_no_claim_set_is_refused(value in any_value()) {
        let value = if value.is_map() { list([value]) } else { value };
        let mut bytes = Vec::new();
        coset::cbor::ser::into_writer(&value, &mut bytes).unwrap();
        let judged = verify(&verifier().endless(true), &mac0(bytes), &asked("/"));
        prop_assert_eq!(judged, Err(Refusal::Malformed));
    }

    /// No claim lets in what another refuses: of those that let in, each may be missing, but for the end
    /// of one that is remembered until then.
    #[test]
    fn a_claim_more_lets_in_no_more(claims in claims()) {
        let verifier = verifier().endless(true);
        if judged(&verifier, claims.clone()).is_err() {
            return Ok(());
        }
        for at in 0..claims.len() {
            let mut fewer = claims.clone();
            let (label, _) = fewer.remove(at);
            if label != 4 {
                prop_assert_eq!(judged(&verifier, fewer), Ok(()), "without {}: {:?}", label, claims);
            }
        }
    }

    #[test]
    fn a_claim_that_is_not_known_refuses_whatever_else_is_claimed(
        claims in claims(),
        label: i64,
        value in any_value(),
        at: prop::sample::Index,
    ) {
        prop_assume!(!KNOWN.contains(&label));
        let verifier = verifier().endless(true);
        let mut more = claims.clone();
        more.insert(at.index(claims.len() + 1), (label, value));
        let refused = judged(&verifier, more).unwrap_err();
        if judged(&verifier, claims) == Ok(()) {
            prop_assert_eq!(refused, Refusal::Unknown);
        }
    }
}
