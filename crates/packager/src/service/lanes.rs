//! Chains of AES-128 in CBC mode (NIST SP 800-38A §6.2), advanced side by side.
//!
//! In a chain, each block waits for the one before, which leaves most of what a core can encrypt
//! unused. Blocks of different chains do not wait for each other: so pieces of segments that are
//! being sent at the same time are encrypted block by block in turns.
//!
//! A piece is brought while the one before it is being sent, and waits until the lanes are full or
//! it is to be sent. Full lanes are advanced until the shortest piece in them is at its end: what is
//! left of the others waits for the next ones, so that lanes stay full. A piece that is to be sent
//! before that lets the others come for [`TURNS`] turns, and is then brought to its end with
//! whatever is there. So no client waits for another, and what comes out is the same whichever was
//! beside it.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
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

/// How often a piece that is to be sent lets others come: a turn of the runtime costs microseconds,
/// half a megabyte alone 350, and beside others 50.
const TURNS: u8 = 4;

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
    /// The block of the chain before those in clear; at the end, its own last one.
    pub(super) last: Block,
    /// How many of its blocks are encrypted.
    done: usize,
}

/// A piece on its way through the lanes.
#[derive(Debug)]
pub(super) struct Ticket {
    lanes: Arc<Lanes>,
    seat: Arc<Seat>,
    /// How many turns the others had since it was asked for.
    turns: u8,
}

#[derive(Debug)]
struct Seat(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    Waiting(Piece),
    /// Being encrypted; who waits for that.
    Working(Option<Waker>),
    Sealed(Piece),
}

impl Piece {
    /// Blocks in clear, and the one before them.
    pub(super) fn new(blocks: Buffer, last: Block) -> Self {
        Self { blocks, last, done: 0 }
    }

    /// How many of its blocks are in clear.
    fn left(&self) -> usize {
        (self.blocks.as_ref().len() / BLOCK).saturating_sub(self.done)
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The piece, if it waits.
    fn take(&self) -> Option<Piece> {
        let mut stage = self.lock();
        match mem::replace(&mut *stage, Stage::Working(None)) {
            Stage::Waiting(piece) => Some(piece),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Gives it back: whether it waits on.
    fn put(&self, piece: Piece) -> bool {
        let waits = piece.left() > 0;
        let stage = if waits { Stage::Waiting(piece) } else { Stage::Sealed(piece) };
        let before = mem::replace(&mut *self.lock(), stage);
        if let Stage::Working(Some(waker)) = before {
            waker.wake();
        }
        waits
    }
}

impl Lanes {
    pub(super) fn new(key: &Block) -> Self {
        Self { cipher: Aes128Enc::new(key.into()), waiting: Mutex::default() }
    }

    /// Brings a piece: it waits, and if it fills the lanes, all in them are advanced.
    pub(super) fn bring(self: &Arc<Self>, mut piece: Piece) -> Ticket {
        let lanes = Arc::clone(self);
        let left = piece.left();
        if left < FEW_BLOCKS {
            together(&self.cipher, &mut [Chain::of(&mut piece)], left);
            let seat = Arc::new(Seat(Mutex::new(Stage::Sealed(piece))));
            return Ticket { lanes, seat, turns: 0 };
        }
        let seat = Arc::new(Seat(Mutex::new(Stage::Waiting(piece))));
        let mut waiting = self.waiting();
        waiting.retain(|seat| seat.strong_count() > 0);
        waiting.push(Arc::downgrade(&seat));
        let full = waiting.len() >= LANES;
        drop(waiting);
        if full {
            let taken = self.take(Vec::with_capacity(LANES));
            let shortest = taken.iter().map(|(_, piece)| piece.left()).min().unwrap_or(0);
            self.advance(taken, shortest);
        }
        Ticket { lanes, seat, turns: 0 }
    }

    /// Brings a piece that waits to its end, and those beside it as far.
    fn finish(&self, seat: &Arc<Seat>) {
        if let Some(piece) = seat.take() {
            let left = piece.left();
            let mut taken = Vec::with_capacity(LANES);
            taken.push((Arc::clone(seat), piece));
            self.advance(self.take(taken), left);
        }
    }

    /// Fills the lanes with those that have waited longest; who has left is passed over.
    fn take(&self, mut taken: Vec<(Arc<Seat>, Piece)>) -> Vec<(Arc<Seat>, Piece)> {
        let mut waiting = self.waiting();
        let mut seats = waiting.drain(..);
        while taken.len() < LANES
            && let Some(seat) = seats.next()
        {
            if let Some(seat) = seat.upgrade()
                && let Some(piece) = seat.take()
            {
                taken.push((seat, piece));
            }
        }
        let rest: Vec<_> = seats.collect();
        *waiting = rest;
        taken
    }

    /// Encrypts so many blocks of each.
    fn advance(&self, mut taken: Vec<(Arc<Seat>, Piece)>, blocks: usize) {
        let mut chains: Vec<Chain<'_>> =
            taken.iter_mut().map(|(_, piece)| Chain::of(piece)).collect();
        together(&self.cipher, &mut chains, blocks);
        let mut waiting = Vec::with_capacity(LANES);
        for (seat, mut piece) in taken {
            let left = piece.left();
            piece.done += blocks.min(left);
            if seat.put(piece) {
                waiting.push(Arc::downgrade(&seat));
            }
        }
        self.waiting().append(&mut waiting);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Weak<Seat>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asked for, a piece that waits is encrypted after [`TURNS`] turns, and those beside it as far.
/// Dropped, it is not encrypted any more.
impl Future for Ticket {
    type Output = Piece;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        loop {
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
            if self.turns < TURNS {
                self.turns += 1;
                // Unlike one that wakes itself, a task that yields lets the runtime find whose
                // connections take more. Polled once, it leaves the waker with the runtime.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            // In the next look it is sealed, or another has taken it and will wake this one.
            self.lanes.finish(&self.seat);
        }
    }
}

/// What is left of a piece.
struct Chain<'a> {
    blocks: &'a mut [Block],
    last: &'a mut Block,
}

impl<'a> Chain<'a> {
    fn of(piece: &'a mut Piece) -> Self {
        let blocks = piece.blocks.as_mut().as_chunks_mut().0;
        Self { blocks: blocks.get_mut(piece.done..).unwrap_or_default(), last: &mut piece.last }
    }
}

/// Encrypts up to so many blocks of each of these chains, at most [`LANES`] of them.
fn together(cipher: &Aes128Enc, chains: &mut [Chain<'_>], mut blocks_each: usize) {
    while blocks_each > 0 {
        // Those that are not at their end come first.
        chains.sort_unstable_by_key(|chain| chain.blocks.is_empty());
        let open = chains.partition_point(|chain| !chain.blocks.is_empty());
        let Some(open) = chains.get_mut(..open).filter(|open| !open.is_empty()) else { return };
        let shortest = open.iter().map(|chain| chain.blocks.len()).min().unwrap_or(0);
        let blocks = shortest.min(blocks_each);
        blocks_each -= blocks;
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
        Piece::new(blocks, last)
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

    fn sealed(ticket: &mut Ticket) -> Piece {
        for _ in 0..=TURNS {
            if let Poll::Ready(piece) = poll(ticket, Waker::noop()) {
                return piece;
            }
        }
        panic!("it still waits");
    }

    /// How many blocks of a piece that waits are encrypted.
    fn done(ticket: &Ticket) -> Option<usize> {
        match &*ticket.seat.lock() {
            Stage::Waiting(piece) => Some(piece.done),
            _ => None,
        }
    }

    #[test]
    fn who_was_asked_for_long_enough_is_brought_to_its_end_and_others_as_far() {
        let lanes = lanes();
        let clear = bytes(&CLEAR).repeat(FEW_BLOCKS);
        let mut ticket = lanes.bring(piece(&clear, VECTOR.to_be_bytes()));
        let longer = clear.repeat(2);
        let mut other = lanes.bring(piece(&longer, [0; BLOCK]));
        for _ in 0..TURNS {
            assert!(poll(&mut ticket, Waker::noop()).is_pending(), "the others have a turn");
        }
        assert_eq!(done(&other), Some(0));
        let Poll::Ready(first) = poll(&mut ticket, Waker::noop()) else { panic!("it waits") };
        assert_eq!(first.blocks.as_ref(), alone(&lanes, &clear, VECTOR.to_be_bytes()));
        assert_eq!(first.blocks.as_ref()[..64], bytes(&SEALED));
        assert_eq!(first.blocks.as_ref().last_chunk(), Some(&first.last));
        assert_eq!(done(&other), Some(clear.len() / BLOCK));
        assert_eq!(sealed(&mut other).blocks.as_ref(), alone(&lanes, &longer, [0; BLOCK]));
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
    fn full_lanes_are_advanced_to_the_first_end_and_who_left_is_passed_over() {
        let lanes = lanes();
        let blocks = |more: usize| vec![7; (FEW_BLOCKS + more) * BLOCK];
        let bring = |more: usize| lanes.bring(piece(&blocks(more), [3; BLOCK]));
        let counts: [usize; LANES] = [3, 7, 40, 1, 0, 1, 99, 2];
        drop(bring(5));
        let mut tickets: Vec<Ticket> = counts[..7].iter().map(|more| bring(*more)).collect();
        assert!(tickets.iter().all(|ticket| done(ticket) == Some(0)), "one has left");
        tickets.push(bring(counts[7]));
        for (ticket, more) in tickets.iter().zip(counts) {
            assert_eq!(done(ticket), (more > 0).then_some(FEW_BLOCKS));
        }
        assert_eq!(lanes.waiting().len(), LANES - 1);
        for (ticket, more) in tickets.iter_mut().zip(counts) {
            assert_eq!(sealed(ticket).blocks.as_ref(), alone(&lanes, &blocks(more), [3; BLOCK]));
        }
        assert!(lanes.waiting().is_empty());
    }

    #[test]
    fn one_that_another_encrypts_is_woken() {
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let clear = [1; FEW_BLOCKS * BLOCK];
        let mut ticket = lanes().bring(piece(&clear, [0; BLOCK]));
        let mut taken = ticket.seat.take().unwrap();
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(poll(&mut ticket, &waker).is_pending());
        assert!(!woken.0.load(Ordering::SeqCst));
        taken.done = FEW_BLOCKS;
        assert!(!ticket.seat.put(taken));
        assert!(woken.0.load(Ordering::SeqCst));
        assert!(poll(&mut ticket, &waker).is_ready());
    }

    proptest! {
        /// Pieces that come in any order, some at the end of a chain's life, some asked for.
        #[test]
        fn chains_side_by_side_are_the_chains_alone(
            chains in proptest::collection::vec(
                (prop_oneof![0usize..40, FEW_BLOCKS..FEW_BLOCKS + 90], any::<u8>(), any::<bool>()),
                1..3 * LANES),
        ) {
            let lanes = lanes();
            let mut open = Vec::new();
            for (at, (blocks, seed, asked)) in chains.into_iter().enumerate() {
                let clear: Vec<u8> =
                    (0..blocks * BLOCK).map(|i| (i as u8).wrapping_mul(seed)).collect();
                let first = [at as u8; BLOCK];
                open.push((lanes.bring(piece(&clear, first)), clear, first));
                prop_assert!(lanes.waiting().len() < LANES);
                if asked {
                    let (mut ticket, clear, first) = open.swap_remove(at % open.len());
                    let piece = sealed(&mut ticket);
                    prop_assert_eq!(piece.blocks.as_ref(), alone(&lanes, &clear, first));
                }
            }
            for (mut ticket, clear, first) in open {
                let sealed = sealed(&mut ticket);
                let expected = alone(&lanes, &clear, first);
                prop_assert_eq!(sealed.last, expected.last_chunk().copied().unwrap_or(first));
                prop_assert_eq!(sealed.blocks.as_ref(), expected);
            }
        }
    }
}
