//! What players tell of themselves: read whole or not at all, and never more kept than is allowed.

use std::sync::Arc;

use headwater_proto::cmcd::{
    Cmcd, MAX_BYTES, MAX_ERROR, MAX_ERRORS, MAX_ID, MAX_NEXT, MAX_REPORTS, Reports,
};

/// Both versions, as a query and as fields.
pub(crate) const SEEDS: &[&str] = &[
    "bl=21300,br=3200,bs,cid=\"faec\",d=4004,mtp=25400,nor=\"..%2Fa.m4v\",nrr=\"12-48\",ot=v,sf=h,su",
    "br=(3200;v 128;a),mtp=(25400),nor=(\"../v1/all.mp4\";r=\"100-199\" \"b.m4s\"),sta=p,v=2",
    "CMCD=bl%3D21300%2Cnor%3D%22..%252F300kbps%252Fsegment35.m4v%22%2Csid%3D%22a%5C%22b%22&x=1",
    "bsd=(1000),e=ps,ec=(\"E1\" \"2003\"),sid=\"6e2f\",sta=p,ts=1764752381000,v=2\ne=t,ltc=4200,v=2\n",
    "bl=21300,v=2\nbr=3200,d=4004,nor=\"a.m4s\"\nsid=\"a\",cid=\"b\"\nbs,rtp=1",
    "com.example-a=(1 \"b\";c=?0);d, x=:aGk=:, y=@1659578233, pr=1.25, st=ll",
];

/// Reads the input as a dictionary, as a query, as reports, and its lines as those of fields.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let reports = Reports::read(text).read;
    assert!(reports.len() <= MAX_REPORTS);
    let read = Cmcd::read(text).map(Arc::new);
    assert_eq!(Cmcd::read_all([text]), read, "one field is a dictionary");
    let fields = Cmcd::read_all(text.lines());
    let told = [read.ok(), fields.ok(), Cmcd::read_query(text).ok().flatten()];
    for told in told.into_iter().flatten().map(Arc::unwrap_or_clone).chain(reports) {
        assert!(told.errors.len() <= MAX_ERRORS);
        assert!(told.errors.iter().all(|code| code.len() <= MAX_ERROR));
        assert!(told.next.len() <= MAX_NEXT);
        assert!(told.next.iter().all(|next| next.reference.len() <= MAX_BYTES));
        let ids = [told.session, told.content];
        assert!(ids.into_iter().flatten().all(|id| id.len() <= MAX_ID));
    }
}
