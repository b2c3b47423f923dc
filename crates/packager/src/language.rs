//! Languages of tracks as BCP 47 tags (RFC 5646 §2.2.1: the shortest code of a language).

use crate::isobmff::mdhd::unpack_language;

/// The tag for what `mdhd` and `elng` say; `None` where the language is not determined.
pub(crate) fn tag(packed: u16, extended: Option<String>) -> Option<String> {
    extended
        .or_else(|| {
            let letters = unpack_language(packed).or_else(|| macintosh(packed))?;
            let three = std::str::from_utf8(&letters).ok()?;
            Some(shortest(three).to_owned())
        })
        .filter(|tag| !tag.eq_ignore_ascii_case("und"))
}

/// The three letters of ISO 639-2 (terminological) for a tag's language; `None` where it has none.
pub(crate) fn three_letters(tag: &str) -> Option<[u8; 3]> {
    // What libraries used before: each of these languages has another code, too.
    const BIBLIOGRAPHIC: &str = "alb arm baq bur chi cze dut fre geo ger gre ice mac mao may per rum \
                                 slo tib wel";
    let language = tag.split('-').next()?.to_ascii_lowercase();
    let three = match language.len() {
        3 => language.as_str(),
        2 => PAIRS.split_ascii_whitespace().find_map(|pair| {
            let (three, two) = pair.split_once('=')?;
            let usual = !BIBLIOGRAPHIC.split_ascii_whitespace().any(|old| old == three);
            (two == language && usual).then_some(three)
        })?,
        _ => return None,
    };
    let letters: [u8; 3] = three.as_bytes().try_into().ok()?;
    letters.iter().all(u8::is_ascii_lowercase).then_some(letters)
}

fn shortest(three: &str) -> &str {
    PAIRS
        .split_ascii_whitespace()
        .find_map(|pair| pair.strip_prefix(three)?.strip_prefix('='))
        .unwrap_or(three)
}

/// QuickTime's older codes; the ones in use.
fn macintosh(code: u16) -> Option<[u8; 3]> {
    const CODES: [&[u8; 3]; 25] = [
        b"eng", b"fra", b"deu", b"ita", b"nld", b"swe", b"spa", b"dan", b"por", b"nor", b"heb",
        b"jpn", b"ara", b"fin", b"ell", b"isl", b"mlt", b"tur", b"hrv", b"zho", b"urd", b"hin",
        b"tha", b"kor", b"lit",
    ];
    CODES.get(usize::from(code)).map(|letters| **letters)
}

/// ISO 639-2 codes (terminological and bibliographic) that have a code in ISO 639-1.
const PAIRS: &str = "\
aar=aa abk=ab afr=af aka=ak alb=sq amh=am ara=ar arg=an arm=hy asm=as ava=av ave=ae aym=ay aze=az \
bak=ba bam=bm baq=eu bel=be ben=bn bih=bh bis=bi bod=bo bos=bs bre=br bul=bg bur=my cat=ca ces=cs \
cha=ch che=ce chi=zh chu=cu chv=cv cor=kw cos=co cre=cr cym=cy cze=cs dan=da deu=de div=dv dut=nl \
dzo=dz ell=el eng=en epo=eo est=et eus=eu ewe=ee fao=fo fas=fa fij=fj fin=fi fra=fr fre=fr fry=fy \
ful=ff geo=ka ger=de gla=gd gle=ga glg=gl glv=gv gre=el grn=gn guj=gu hat=ht hau=ha heb=he her=hz \
hin=hi hmo=ho hrv=hr hun=hu hye=hy ibo=ig ice=is ido=io iii=ii iku=iu ile=ie ina=ia ind=id ipk=ik \
isl=is ita=it jav=jv jpn=ja kal=kl kan=kn kas=ks kat=ka kau=kr kaz=kk khm=km kik=ki kin=rw kir=ky \
kom=kv kon=kg kor=ko kua=kj kur=ku lao=lo lat=la lav=lv lim=li lin=ln lit=lt ltz=lb lub=lu lug=lg \
mac=mk mah=mh mal=ml mao=mi mar=mr may=ms mkd=mk mlg=mg mlt=mt mon=mn mri=mi msa=ms mya=my nau=na \
nav=nv nbl=nr nde=nd ndo=ng nep=ne nld=nl nno=nn nob=nb nor=no nya=ny oci=oc oji=oj ori=or orm=om \
oss=os pan=pa per=fa pli=pi pol=pl por=pt pus=ps que=qu roh=rm ron=ro rum=ro run=rn rus=ru sag=sg \
san=sa sin=si slk=sk slo=sk slv=sl sme=se smo=sm sna=sn snd=sd som=so sot=st spa=es sqi=sq srd=sc \
srp=sr ssw=ss sun=su swa=sw swe=sv tah=ty tam=ta tat=tt tel=te tgk=tg tgl=tl tha=th tib=bo tir=ti \
ton=to tsn=tn tso=ts tuk=tk tur=tr twi=tw uig=ug ukr=uk urd=ur uzb=uz ven=ve vie=vi vol=vo wel=cy \
wln=wa wol=wo xho=xh yid=yi yor=yo zha=za zho=zh zul=zu";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn pack(letters: [u8; 3]) -> u16 {
        letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter - 0x60))
    }

    #[test]
    fn tags_have_three_letters() {
        for (tag, letters) in [
            ("en", Some("eng")),
            ("pt-BR", Some("por")),
            ("de", Some("deu")),
            ("zh-Hant", Some("zho")),
            ("EN", Some("eng")),
            ("haw", Some("haw")),
            ("xx", None),
            ("x-klingon", None),
            ("a1b", None),
            ("", None),
        ] {
            let found =
                three_letters(tag).map(|letters| String::from_utf8(letters.to_vec()).unwrap());
            assert_eq!(found.as_deref(), letters, "{tag}");
        }
        // Each pair leads back to a code that means the same.
        for pair in PAIRS.split_ascii_whitespace() {
            let two = pair.split('=').nth(1).unwrap();
            let three = three_letters(two).unwrap();
            assert_eq!(shortest(std::str::from_utf8(&three).unwrap()), two, "{pair}");
        }
    }

    #[test]
    fn tags() {
        assert_eq!(tag(pack(*b"eng"), None).as_deref(), Some("en"));
        assert_eq!(tag(pack(*b"ger"), None).as_deref(), Some("de"));
        assert_eq!(tag(pack(*b"haw"), None).as_deref(), Some("haw"));
        assert_eq!(tag(pack(*b"und"), None), None);
        assert_eq!(tag(0, None).as_deref(), Some("en"));
        assert_eq!(tag(0x7fff, None), None);
        let extended = tag(pack(*b"por"), Some("pt-BR".to_owned()));
        assert_eq!(extended.as_deref(), Some("pt-BR"));
    }
}
