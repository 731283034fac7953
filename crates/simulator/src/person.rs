//! A person: what the log will say about them, and the hidden dispositions behind their behaviour.

use crate::chance::Chance;

/// Someone who signs up. The hidden dispositions shape behaviour before the snapshot; outcomes see only
/// that behaviour, never the dispositions.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// Position in order of signup, from 0.
    pub(crate) index: u64,
    pub(crate) signup_us: i64,
    pub(crate) plan: &'static str,
    pub(crate) device: &'static str,
    pub(crate) traffic_source: &'static str,
    pub(crate) company_size: u32,
    /// Hour of the day, UTC, around which they work.
    pub(crate) hour: f64,
    /// How often they come.
    pub(crate) engagement: f64,
    /// How well they get on with technical steps.
    pub(crate) skill: f64,
    /// How many colleagues they bring.
    pub(crate) sociability: f64,
    /// How much they think of buying.
    pub(crate) interest: f64,
}

impl Person {
    pub(crate) fn draw(index: u64, signup_us: i64, chance: &mut Chance) -> Self {
        let plan = chance.choose(&[("free", 0.6), ("trial", 0.4)], "free");
        let device =
            chance.choose(&[("desktop", 0.66), ("mobile", 0.25), ("tablet", 0.09)], "desktop");
        let traffic_source = chance.choose(
            &[
                ("organic", 0.34),
                ("paid_search", 0.24),
                ("referral", 0.18),
                ("social", 0.14),
                ("partner", 0.10),
            ],
            "organic",
        );
        let (least, most) = chance.choose(
            &[((1, 11), 0.45), ((11, 51), 0.3), ((51, 201), 0.17), ((201, 2_001), 0.08)],
            (1, 11),
        );
        let company_size = least + chance.below(u64::from(most - least)) as u32;
        let on_desktop = device == "desktop";
        Self {
            index,
            signup_us,
            plan,
            device,
            traffic_source,
            company_size,
            hour: chance.between(8.0, 18.0),
            engagement: chance.normal(),
            skill: chance.normal() - if on_desktop { 0.0 } else { 0.5 },
            sociability: chance.normal() + if company_size > 50 { 0.5 } else { 0.0 },
            interest: chance.normal(),
        }
    }

    pub(crate) fn user_id(&self) -> String {
        format!("user_{:06}", self.index + 1)
    }

    pub(crate) fn anonymous_id(&self) -> String {
        // An odd multiplier permutes the 48-bit ids: they look drawn and cannot collide.
        let id = (self.index + 1).wrapping_mul(0x9E37_79B9_7F4B) & 0xFFFF_FFFF_FFFF;
        format!("anon_{id:012x}")
    }

    /// The browser's own line, as the device has it.
    pub(crate) fn user_agent(&self) -> &'static str {
        match self.device {
            "mobile" => "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) Mobile/15E148",
            "tablet" => "Mozilla/5.0 (iPad; CPU OS 18_2 like Mac OS X) Safari/604.1",
            _ => "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/134.0",
        }
    }

    /// The plan that the company would buy, and its yearly price in dollars.
    pub(crate) fn paid_plan(&self) -> (&'static str, f64) {
        match self.company_size {
            0..=10 => ("starter", 290.0),
            11..=200 => ("team", 990.0),
            _ => ("business", 4_900.0),
        }
    }
}
