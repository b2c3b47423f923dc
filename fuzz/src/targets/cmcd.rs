//! What players tell of themselves: read whole or not at all, and never more kept than is allowed.

use headwater_proto::cmcd::{Cmcd, MAX_BYTES, MAX_ID, MAX_NEXT};

/// Both versions, as a query and as fields.
pub(crate) const SEEDS: &[&str] = &[
    "bl=21300,br=3200,bs,cid=\"faec\",d=4004,mtp=25400,nor=\"..%2Fa.m4v\",nrr=\"12-48\",ot=v,sf=h,su",
    "br=(3200;v 128;a),mtp=(25400),nor=(\"../v1/all.mp4\";r=\"100-199\" \"b.m4s\"),sta=p,v=2",
    "CMCD=bl%3D21300%2Cnor%3D%22..%252F300kbps%252Fsegment35.m4v%22%2Csid%3D%22a%5C%22b%22&x=1",
    "com.example-a=(1 \"b\";c=?0);d, x=:aGk=:, y=@1659578233, pr=1.25, st=ll",
];

/// Reads the input as a dictionary and as a query.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for told in [Cmcd::read(text).ok(), Cmcd::read_query(text).ok().flatten()] {
        let Some(told) = told else { continue };
        assert!(told.next.len() <= MAX_NEXT);
        assert!(told.next.iter().all(|next| next.reference.len() <= MAX_BYTES));
        let ids = [told.session, told.content];
        assert!(ids.into_iter().flatten().all(|id| id.len() <= MAX_ID));
    }
}
