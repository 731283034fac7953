//! A stable id for events whose source has none.

use crate::{Event, EventId, Value};

/// 128-bit FNV-1a, because it is the same on every platform and release; the id only orders events,
/// so it need not withstand an attacker.
struct Fnv(u128);

impl Fnv {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(Self::PRIME);
        }
    }

    /// Text with its length before it, so that two fields never run together.
    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.bytes(&[u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }
}

impl EventId {
    /// A [`EventId::Content`] from everything an event holds but its id: 32 hexadecimal digits of
    /// the 128-bit FNV-1a hash. The order of the properties does not matter.
    #[must_use]
    pub fn of_content(event: &Event) -> Self {
        let mut hash = Fnv(Fnv::OFFSET);
        for id in [&event.user_id, &event.anonymous_id, &event.previous_id, &event.session_id] {
            hash.optional(id.as_deref());
        }
        hash.text(event.kind.name());
        hash.text(&event.name);
        for time in [event.event_ts, event.original_ts, event.known_ts, event.seq] {
            hash.bytes(&time.to_le_bytes());
        }
        let mut properties: Vec<_> = event.properties.iter().collect();
        properties.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in properties {
            hash.text(key);
            match value {
                Value::Number(number) => {
                    hash.bytes(&[0]);
                    hash.bytes(&number.to_bits().to_le_bytes());
                }
                Value::Text(text) => {
                    hash.bytes(&[1]);
                    hash.text(text);
                }
                Value::Flag(flag) => hash.bytes(&[2, u8::from(*flag)]),
            }
        }
        Self::Content(format!("{:032x}", hash.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKind;

    fn event() -> Event {
        Event {
            event_id: EventId::Content(String::new()),
            user_id: Some("u".into()),
            anonymous_id: None,
            kind: EventKind::Track,
            name: "n".into(),
            event_ts: 1,
            original_ts: 2,
            known_ts: 3,
            seq: 4,
            session_id: None,
            previous_id: None,
            properties: vec![
                ("a".into(), Value::Number(1.0)),
                ("b".into(), Value::Text("t".into())),
            ],
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let mut hash = Fnv(Fnv::OFFSET);
        hash.bytes(b"foobar");
        assert_eq!(hash.0, 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn the_id_follows_the_content_and_nothing_else() {
        let id = EventId::of_content(&event());
        let mut same = event();
        same.properties.reverse();
        same.event_id = EventId::Given("x".into());
        assert_eq!(EventId::of_content(&same), id);
        let others = [
            Event { user_id: None, anonymous_id: Some("u".into()), ..event() },
            Event { name: "m".into(), ..event() },
            Event { seq: 5, ..event() },
            Event { kind: EventKind::Page, ..event() },
            Event { properties: Vec::new(), ..event() },
        ];
        assert!(others.iter().all(|other| EventId::of_content(other) != id));
    }
}
