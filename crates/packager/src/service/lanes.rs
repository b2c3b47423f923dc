//! Chains of AES-128 in CBC mode (NIST SP 800-38A §6.2), advanced side by side.
//!
//! In a chain, each block waits for the one before, which leaves most of what a core can encrypt
//! unused. Blocks of different chains do not wait for each other: so pieces of segments that are
//! being sent at the same time are encrypted block by block in turns.
//!
//! A piece is brought while the one before it is being sent, and waits until the lanes are full or
//! one of those in them is to be sent: then all are encrypted at once, after one turn in which the
//! others can come. So no client waits for another. At most [`LANES`] pieces wait, and what comes
//! out is the same whichever was beside it.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use aes::Aes128Enc;
use aes::cipher::array::Array;
use aes::cipher::consts::U16;
use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};

use crate::aes128::BLOCK;
use crate::source::Buffer;

/// How many chains are advanced together: as many as keep the cipher of a core busy, which takes in
/// two blocks at a time and gives them back four cycles later, and their state in its registers.
const LANES: usize = 8;

/// Pieces of fewer blocks are encrypted alone: they would leave the others' lanes early.
const FEW_BLOCKS: usize = 256;

type Block = [u8; BLOCK];

/// The lanes of one key.
#[derive(Debug)]
pub(super) struct Lanes {
    cipher: Aes128Enc,
    waiting: Mutex<Vec<Weak<Seat>>>,
}

/// A piece of a chain.
#[derive(Debug)]
pub(super) struct Piece {
    /// Whole blocks, at first in clear.
    pub(super) blocks: Buffer,
    /// The block of the chain before it; afterwards, its own last one.
    pub(super) last: Block,
}

/// A piece on its way through the lanes.
#[derive(Debug)]
pub(super) struct Ticket {
    lanes: Arc<Lanes>,
    seat: Arc<Seat>,
    /// Whether the others had their turn since it was asked for.
    waited: bool,
}

#[derive(Debug)]
struct Seat(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    Waiting(Piece),
    /// Being encrypted by another; who waits for that.
    Working(Option<Waker>),
    Sealed(Piece),
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The piece, encrypted.
    fn put(&self, piece: Piece) {
        let before = mem::replace(&mut *self.lock(), Stage::Sealed(piece));
        if let Stage::Working(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl Lanes {
    pub(super) fn new(key: &Block) -> Self {
        Self { cipher: Aes128Enc::new(key.into()), waiting: Mutex::default() }
    }

    /// Brings a piece: it waits, unless it is the one that fills the lanes.
    pub(super) fn bring(self: &Arc<Self>, mut piece: Piece) -> Ticket {
        let lanes = Arc::clone(self);
        if piece.blocks.as_ref().len() < FEW_BLOCKS * BLOCK {
            together(&self.cipher, &mut [Chain::of(&mut piece)]);
            let seat = Arc::new(Seat(Mutex::new(Stage::Sealed(piece))));
            return Ticket { lanes, seat, waited: false };
        }
        let seat = Arc::new(Seat(Mutex::new(Stage::Waiting(piece))));
        let mut waiting = self.waiting();
        waiting.push(Arc::downgrade(&seat));
        let full = if waiting.len() < LANES { Vec::new() } else { mem::take(&mut *waiting) };
        drop(waiting);
        self.encrypt(&full);
        Ticket { lanes, seat, waited: false }
    }

    /// Encrypts pieces that wait; those whose owner has left are passed over.
    fn encrypt(&self, seats: &[Weak<Seat>]) {
        let mut taken = Vec::with_capacity(seats.len());
        for seat in seats.iter().filter_map(Weak::upgrade) {
            let mut stage = seat.lock();
            match mem::replace(&mut *stage, Stage::Working(None)) {
                Stage::Waiting(piece) => {
                    drop(stage);
                    taken.push((seat, piece));
                }
                other => *stage = other,
            }
        }
        let mut chains: Vec<Chain<'_>> =
            taken.iter_mut().map(|(_, piece)| Chain::of(piece)).collect();
        together(&self.cipher, &mut chains);
        for (seat, piece) in taken {
            seat.put(piece);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Weak<Seat>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asked for, a piece that waits is encrypted, and all that wait beside it. Dropped, it is not
/// encrypted any more.
impl Future for Ticket {
    type Output = Piece;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        for look in 0..2 {
            let mut stage = self.seat.lock();
            match mem::replace(&mut *stage, Stage::Working(None)) {
                Stage::Sealed(piece) => return Poll::Ready(piece),
                Stage::Working(_) => {
                    *stage = Stage::Working(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                waiting @ Stage::Waiting(_) => *stage = waiting,
            }
            drop(stage);
            if !mem::replace(&mut self.waited, true) {
                break;
            }
            // In a second look, another has taken it and is about to say so.
            if look == 0 {
                let all = mem::take(&mut *self.lanes.waiting());
                self.lanes.encrypt(&all);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What is left of a piece.
struct Chain<'a> {
    blocks: &'a mut [Block],
    last: &'a mut Block,
}

impl<'a> Chain<'a> {
    fn of(piece: &'a mut Piece) -> Self {
        Self { blocks: piece.blocks.as_mut().as_chunks_mut().0, last: &mut piece.last }
    }
}

/// Encrypts chains to their ends, up to [`LANES`] of them at a time.
fn together(cipher: &Aes128Enc, chains: &mut [Chain<'_>]) {
    loop {
        // Those that are not at their end come first.
        chains.sort_unstable_by_key(|chain| chain.blocks.is_empty());
        let open = chains.partition_point(|chain| !chain.blocks.is_empty()).min(LANES);
        let Some(open) = chains.get_mut(..open).filter(|open| !open.is_empty()) else { return };
        let blocks = open.iter().map(|chain| chain.blocks.len()).min().unwrap_or(0);
        match open.len() {
            1 => advance::<1>(cipher, open, blocks),
            2 => advance::<2>(cipher, open, blocks),
            3 => advance::<3>(cipher, open, blocks),
            4 => advance::<4>(cipher, open, blocks),
            5 => advance::<5>(cipher, open, blocks),
            6 => advance::<6>(cipher, open, blocks),
            7 => advance::<7>(cipher, open, blocks),
            _ => advance::<LANES>(cipher, open, blocks),
        }
    }
}

/// Encrypts so many blocks of each of the first `N` chains, which have as many.
fn advance<const N: usize>(cipher: &Aes128Enc, chains: &mut [Chain<'_>], blocks: usize) {
    if let Some(chains) = chains.first_chunk_mut::<N>() {
        cipher.encrypt_with_backend(Advance { chains, blocks });
    }
}

struct Advance<'a, 'b, const N: usize> {
    chains: &'a mut [Chain<'b>; N],
    blocks: usize,
}

impl<const N: usize> BlockSizeUser for Advance<'_, '_, N> {
    type BlockSize = U16;
}

impl<const N: usize> BlockCipherEncClosure for Advance<'_, '_, N> {
    // The cipher calls it where the processor's instructions are known to be there: inlined, the
    // blocks of all lanes are in one stream of them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "without it each block is a call: five times slower")]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { chains, blocks } = self;
        let mut lasts = chains.each_ref().map(|chain| Array::from(*chain.last));
        let mut lanes = chains.each_mut().map(|chain| {
            let left = mem::take(&mut chain.blocks);
            let (now, later) = left.split_at_mut(blocks.min(left.len()));
            chain.blocks = later;
            now
        });
        // In three steps, so that no block waits for another's to be written.
        for row in 0..blocks {
            for (last, lane) in lasts.iter_mut().zip(&lanes) {
                if let Some(clear) = lane.get(row) {
                    last.0 =
                        (u128::from_ne_bytes(last.0) ^ u128::from_ne_bytes(*clear)).to_ne_bytes();
                }
            }
            for last in &mut lasts {
                backend.encrypt_block(last.into());
            }
            for (last, lane) in lasts.iter().zip(&mut lanes) {
                if let Some(place) = lane.get_mut(row) {
                    *place = last.0;
                }
            }
        }
        for (chain, last) in chains.iter_mut().zip(lasts) {
            *chain.last = last.0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;
    use crate::source::BufferPool;

    /// NIST SP 800-38A §F.2.1.
    const KEY: u128 = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c;
    const VECTOR: u128 = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
    const CLEAR: [u128; 4] = [
        0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a,
        0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51,
        0x30c8_1c46_a35c_e411_e5fb_c119_1a0a_52ef,
        0xf69f_2445_df4f_9b17_ad2b_417b_e66c_3710,
    ];
    const SEALED: [u128; 4] = [
        0x7649_abac_8119_b246_cee9_8e9b_12e9_197d,
        0x5086_cb9b_5072_19ee_95db_113a_9176_78b2,
        0x73be_d6b8_e3c1_743b_7116_e69e_2222_9516,
        0x3ff1_caa1_681f_ac09_120e_ca30_7586_e1a7,
    ];

    fn lanes() -> Arc<Lanes> {
        Arc::new(Lanes::new(&KEY.to_be_bytes()))
    }

    fn bytes(blocks: &[u128]) -> Vec<u8> {
        blocks.iter().flat_map(|block| block.to_be_bytes()).collect()
    }

    fn piece(clear: &[u8], last: Block) -> Piece {
        let mut blocks = Arc::new(BufferPool::default()).take(clear.len());
        blocks.as_mut().copy_from_slice(clear);
        Piece { blocks, last }
    }

    /// One block after the other.
    fn alone(lanes: &Lanes, clear: &[u8], mut last: Block) -> Vec<u8> {
        let mut out = Vec::new();
        for clear in clear.as_chunks().0 {
            let block = u128::from_ne_bytes(last) ^ u128::from_ne_bytes(*clear);
            let mut block = block.to_ne_bytes().into();
            lanes.cipher.encrypt_block(&mut block);
            last = block.0;
            out.extend(last);
        }
        out
    }

    fn poll(ticket: &mut Ticket, waker: &Waker) -> Poll<Piece> {
        Pin::new(ticket).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn who_is_asked_for_twice_has_all_encrypted() {
        let lanes = lanes();
        let clear = bytes(&CLEAR).repeat(FEW_BLOCKS);
        let mut ticket = lanes.bring(piece(&clear, VECTOR.to_be_bytes()));
        let other = lanes.bring(piece(&clear, [0; BLOCK]));
        assert!(poll(&mut ticket, Waker::noop()).is_pending(), "the others have a turn");
        assert_eq!(lanes.waiting().len(), 2);
        let Poll::Ready(sealed) = poll(&mut ticket, Waker::noop()) else { panic!("it waits") };
        assert_eq!(sealed.blocks.as_ref(), alone(&lanes, &clear, VECTOR.to_be_bytes()));
        assert_eq!(sealed.blocks.as_ref()[..64], bytes(&SEALED));
        assert_eq!(sealed.blocks.as_ref().last_chunk(), Some(&sealed.last));
        assert!(matches!(&*other.seat.lock(), Stage::Sealed(_)));
        assert!(lanes.waiting().is_empty());
    }

    #[test]
    fn a_small_piece_waits_for_nobody() {
        let ticket = lanes().bring(piece(&bytes(&CLEAR), VECTOR.to_be_bytes()));
        let Stage::Sealed(piece) = &*ticket.seat.lock() else { panic!("it waits") };
        assert_eq!(piece.blocks.as_ref(), bytes(&SEALED));
        assert_eq!(piece.last, SEALED[3].to_be_bytes());
    }

    #[test]
    fn who_fills_the_lanes_has_all_encrypted_and_who_left_is_passed_over() {
        let lanes = lanes();
        let blocks = |more: usize| vec![7; (FEW_BLOCKS + more) * BLOCK];
        let bring = |more: usize| lanes.bring(piece(&blocks(more), [3; BLOCK]));
        let counts = [3, 7, 40, 1, 1, 99, 0];
        let left = bring(5);
        let mut tickets: Vec<Ticket> = counts[..6].iter().map(|more| bring(*more)).collect();
        drop(left);
        assert_eq!(lanes.waiting().len(), LANES - 1);
        tickets.push(bring(counts[6]));
        assert!(lanes.waiting().is_empty());
        for (ticket, more) in tickets.iter().zip(counts) {
            let Stage::Sealed(sealed) = &*ticket.seat.lock() else { panic!("it waits") };
            assert_eq!(sealed.blocks.as_ref(), alone(&lanes, &blocks(more), [3; BLOCK]));
        }
    }

    #[test]
    fn one_that_another_encrypts_is_woken() {
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let mut ticket = lanes().bring(piece(&[1; FEW_BLOCKS * BLOCK], [0; BLOCK]));
        *ticket.seat.lock() = Stage::Working(None);
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(poll(&mut ticket, &waker).is_pending());
        assert!(!woken.0.load(Ordering::SeqCst));
        ticket.seat.put(piece(&[1; BLOCK], [2; BLOCK]));
        assert!(woken.0.load(Ordering::SeqCst));
        assert!(poll(&mut ticket, &waker).is_ready());
    }

    proptest! {
        #[test]
        fn chains_side_by_side_are_the_chains_alone(
            chains in proptest::collection::vec((0usize..40, any::<u8>()), 1..2 * LANES),
        ) {
            let lanes = lanes();
            let clear: Vec<(Vec<u8>, Block)> = chains.iter().enumerate().map(|(at, (blocks, seed))| {
                let bytes = (0..blocks * BLOCK).map(|i| (i as u8).wrapping_mul(*seed)).collect();
                (bytes, [at as u8; BLOCK])
            }).collect();
            let mut pieces: Vec<Piece> =
                clear.iter().map(|(bytes, last)| piece(bytes, *last)).collect();
            let mut side_by_side: Vec<_> = pieces.iter_mut().map(Chain::of).collect();
            together(&lanes.cipher, &mut side_by_side);
            for (piece, (bytes, first)) in pieces.iter().zip(&clear) {
                let expected = alone(&lanes, bytes, *first);
                prop_assert_eq!(piece.last, expected.last_chunk().copied().unwrap_or(*first));
                prop_assert_eq!(piece.blocks.as_ref(), expected);
            }
        }
    }
}
