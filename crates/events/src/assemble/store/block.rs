//! Events as bytes: a block is some rows of a store with the texts that they use, and nothing of it
//! depends on the numbering of the store that it came from.
//!
//! A block is two tables of texts (ids, others), the number of rows and the rows. Numbers are written
//! in as few bytes as they need, seven bits a byte; texts are named by their place in their table,
//! counted from 1, because 0 is the empty text.

use super::{Row, Store};
use crate::{EventKind, Scalar, Symbol, Symbols};

/// A block that does not read as it was written: what kept it has damaged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of events does not read as it was written")]
pub struct BlockError;

/// Bits of a row's first byte, below those of its kind.
const HAS_SEQ: u8 = 1;
const IS_KNOWN_LATER: u8 = 1 << 1;
const HAS_SESSION: u8 = 1 << 2;
const HAS_EVENT_ID: u8 = 1 << 3;
const HAS_PREVIOUS: u8 = 1 << 4;
const KIND_SHIFT: u32 = 5;

/// Kinds of property values, below the number of their key.
const NUMBER: u64 = 0;
const WHOLE: u64 = 1;
const TEXT: u64 = 2;
const FALSE: u64 = 3;
const TRUE: u64 = 4;
const TAG_BITS: u32 = 3;

/// Bytes that a row takes in a store when every column has values, but for its properties and texts.
const ROW_BYTES: usize = 64;
/// Bytes that a property takes in a store.
const PROPERTY_BYTES: usize = 12;
/// Bytes that a text takes in a table beside itself.
const TEXT_BYTES: usize = 56;

/// Makes blocks of one store, reusing its room.
#[derive(Debug, Default)]
pub(in crate::assemble) struct BlockWriter {
    ids: Dictionary,
    texts: Dictionary,
    rows: Vec<u8>,
    block: Vec<u8>,
}

/// The texts of a block, by the order in which it names them.
#[derive(Debug, Default)]
pub(in crate::assemble) struct Dictionary {
    /// By symbol of the store; 0 for those that the block has not named.
    numbers: Vec<u32>,
    named: Vec<Symbol>,
}

impl Dictionary {
    pub(in crate::assemble) fn number(&mut self, symbol: Symbol) -> u64 {
        if symbol == Symbol::EMPTY {
            return 0;
        }
        if self.numbers.len() <= symbol.index() {
            self.numbers.resize(symbol.index() + 1, 0);
        }
        let number = &mut self.numbers[symbol.index()];
        if *number == 0 {
            self.named.push(symbol);
            *number = self.named.len() as u32;
        }
        u64::from(*number)
    }

    /// Writes the texts, forgets them, and gives the bytes that they will take in memory.
    pub(in crate::assemble) fn write(&mut self, symbols: &Symbols, out: &mut Vec<u8>) -> usize {
        write_number(out, self.named.len() as u64);
        let mut memory = 0;
        for symbol in self.named.drain(..) {
            self.numbers[symbol.index()] = 0;
            let text = symbols.text(symbol);
            memory += text.len() + TEXT_BYTES;
            write_bytes(out, text.as_bytes());
        }
        memory
    }
}

pub(in crate::assemble) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Numbers near 0 of either sign are short.
pub(in crate::assemble) fn write_signed(out: &mut Vec<u8>, number: i64) {
    write_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

impl Store {
    /// A block of some rows, and the bytes that they will take in another store.
    pub(in crate::assemble) fn block<'w>(
        &self,
        rows: &[u32],
        writer: &'w mut BlockWriter,
    ) -> (&'w [u8], usize) {
        let BlockWriter { ids, texts, rows: out, block } = writer;
        let mut memory = rows.len() * ROW_BYTES;
        out.clear();
        write_number(out, rows.len() as u64);
        let mut last_ts = 0;
        for &row in rows {
            let row = row as usize;
            let event_ts = self.event_ts[row];
            let (known_after, seq) = (self.known_after_us.get(row), self.seq.get(row));
            let (session, previous) = (self.session.get(row), self.previous.get(row));
            let event_id = self.event_id(row);
            let flag = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
            out.push(
                (self.kind.get(row) as u8) << KIND_SHIFT
                    | flag(seq != 0, HAS_SEQ)
                    | flag(known_after != 0, IS_KNOWN_LATER)
                    | flag(session != Symbol::EMPTY, HAS_SESSION)
                    | flag(!event_id.is_empty(), HAS_EVENT_ID)
                    | flag(previous != Symbol::EMPTY, HAS_PREVIOUS),
            );
            write_signed(out, event_ts.wrapping_sub(last_ts));
            last_ts = event_ts;
            if known_after != 0 {
                write_signed(out, known_after);
            }
            if seq != 0 {
                write_signed(out, seq);
            }
            write_number(out, ids.number(self.user.get(row)));
            write_number(out, ids.number(self.anonymous.get(row)));
            if previous != Symbol::EMPTY {
                write_number(out, ids.number(previous));
            }
            write_number(out, texts.number(self.name.get(row)));
            if session != Symbol::EMPTY {
                write_number(out, texts.number(session));
            }
            if !event_id.is_empty() {
                write_bytes(out, event_id);
                memory += event_id.len();
            }
            let properties = self.packed(row);
            memory += properties.len() * PROPERTY_BYTES;
            write_number(out, properties.len() as u64);
            for packed in properties {
                let (key, value) = packed.unpack();
                write_property(out, texts.number(key), value, texts);
            }
        }
        block.clear();
        memory += ids.write(&self.ids, block);
        memory += texts.write(&self.symbols, block);
        block.extend_from_slice(out);
        (block, memory)
    }

    /// Takes in the rows of a block.
    pub(in crate::assemble) fn read_block(&mut self, block: &[u8]) -> Result<(), BlockError> {
        let mut reader = BlockReader(block);
        let ids = reader.texts(&mut self.ids)?;
        let texts = reader.texts(&mut self.symbols)?;
        let mut event_ts = 0i64;
        for _ in 0..reader.number()? {
            let head = reader.byte()?;
            let when = |bit: u8| head & bit != 0;
            let kind = usize::from(head >> KIND_SHIFT);
            event_ts = event_ts.wrapping_add(reader.signed()?);
            let known_after = if when(IS_KNOWN_LATER) { reader.signed()? } else { 0 };
            let seq = if when(HAS_SEQ) { reader.signed()? } else { 0 };
            let user = reader.symbol(&ids)?;
            let anonymous = reader.symbol(&ids)?;
            let empty = Symbol::EMPTY;
            let previous = if when(HAS_PREVIOUS) { reader.symbol(&ids)? } else { empty };
            let name = reader.symbol(&texts)?;
            let session = if when(HAS_SESSION) { reader.symbol(&texts)? } else { empty };
            let event_id = if when(HAS_EVENT_ID) { reader.bytes()? } else { &[] };
            for _ in 0..reader.number()? {
                let (key, value) = reader.property(&texts)?;
                self.push_property(key, value);
            }
            self.push_row(Row {
                event_ts,
                known_ts: event_ts.wrapping_add(known_after),
                seq,
                user,
                anonymous,
                previous,
                kind: *EventKind::ALL.get(kind).ok_or(BlockError)?,
                name,
                session,
                event_id,
            });
        }
        reader.end()
    }
}

fn write_property(out: &mut Vec<u8>, key: u64, value: Scalar, texts: &mut Dictionary) {
    let tagged = |tag: u64| key << TAG_BITS | tag;
    match value {
        Scalar::Number(number) => {
            let whole = number as i64;
            // the test of bits keeps the sign of zero
            let is_whole = (whole as f64).to_bits() == number.to_bits();
            if is_whole && whole.unsigned_abs() < 1 << 48 {
                write_number(out, tagged(WHOLE));
                write_signed(out, whole);
            } else {
                write_number(out, tagged(NUMBER));
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        Scalar::Text(text) => {
            write_number(out, tagged(TEXT));
            write_number(out, texts.number(text));
        }
        Scalar::Flag(flag) => write_number(out, tagged(if flag { TRUE } else { FALSE })),
    }
}

/// What is left of a block.
pub(in crate::assemble) struct BlockReader<'a>(pub(in crate::assemble) &'a [u8]);

impl<'a> BlockReader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], BlockError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(BlockError)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::assemble) fn byte(&mut self) -> Result<u8, BlockError> {
        Ok(self.take(1)?[0])
    }

    pub(in crate::assemble) fn number(&mut self) -> Result<u64, BlockError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BlockError)
    }

    pub(in crate::assemble) fn signed(&mut self) -> Result<i64, BlockError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self) -> Result<&'a [u8], BlockError> {
        let n = usize::try_from(self.number()?).map_err(|_| BlockError)?;
        self.take(n)
    }

    /// A table of texts, as symbols of `symbols`, the empty text first.
    pub(in crate::assemble) fn texts(
        &mut self,
        symbols: &mut Symbols,
    ) -> Result<Vec<Symbol>, BlockError> {
        let mut texts = vec![Symbol::EMPTY];
        for _ in 0..self.number()? {
            let text = std::str::from_utf8(self.bytes()?).map_err(|_| BlockError)?;
            texts.push(symbols.intern(text));
        }
        Ok(texts)
    }

    pub(in crate::assemble) fn symbol(&mut self, texts: &[Symbol]) -> Result<Symbol, BlockError> {
        symbol_of(self.number()?, texts)
    }

    fn property(&mut self, texts: &[Symbol]) -> Result<(Symbol, Scalar), BlockError> {
        let tagged = self.number()?;
        let value = match tagged & ((1 << TAG_BITS) - 1) {
            NUMBER => {
                let bytes = self.take(8)?.try_into().map_err(|_| BlockError)?;
                Scalar::Number(f64::from_le_bytes(bytes))
            }
            WHOLE => Scalar::Number(self.signed()? as f64),
            TEXT => Scalar::Text(self.symbol(texts)?),
            FALSE => Scalar::Flag(false),
            TRUE => Scalar::Flag(true),
            _ => return Err(BlockError),
        };
        Ok((symbol_of(tagged >> TAG_BITS, texts)?, value))
    }

    /// Nothing may be left.
    pub(in crate::assemble) fn end(&self) -> Result<(), BlockError> {
        if self.0.is_empty() { Ok(()) } else { Err(BlockError) }
    }
}

fn symbol_of(number: u64, texts: &[Symbol]) -> Result<Symbol, BlockError> {
    let place = usize::try_from(number).map_err(|_| BlockError)?;
    texts.get(place).copied().ok_or(BlockError)
}
