//! The truth about a person: causes, probabilities, and the outcomes drawn from them.

use std::fmt::Write as _;

use crate::causes::{Causes, Odds};
use crate::chance::Chance;
use crate::happening::Step;
use crate::instant::iso;
use crate::person::Person;

/// Header of the truth file.
pub(crate) const TRUTH_HEADER: &str = "user_id,signup_ts,snapshot_ts,p_churn,p_support,p_convert,churn,\
support,convert,needs_help_at,active_days,data_connected,errors,help_searches,stuck_on_data,\
pricing_views,invites,referral,trial,step_reached\n";

/// One row of the truth file.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) snapshot_us: i64,
    pub(crate) causes: Causes,
    pub(crate) odds: Odds,
    pub(crate) churned: bool,
    pub(crate) needed_support: bool,
    pub(crate) converted: bool,
    /// Where the person stood when they opened a ticket; none without a ticket or with all steps done.
    pub(crate) needs_help_at: Option<Step>,
}

impl Truth {
    /// Draws the outcomes: first who leaves, then, of those who stay, who needs help and who buys.
    pub(crate) fn draw(snapshot_us: i64, causes: Causes, chance: &mut Chance) -> Self {
        let odds = causes.odds();
        let churned = chance.happens(odds.churn);
        let needed_support = chance.happens(odds.support_if_stays) && !churned;
        let converted = chance.happens(odds.convert_if_stays) && !churned;
        Self { snapshot_us, causes, odds, churned, needed_support, converted, needs_help_at: None }
    }

    /// Appends the person's line.
    pub(crate) fn write_line(&self, person: &Person, line: &mut String) {
        let Self { causes, odds, .. } = self;
        let bit = u8::from;
        // Writing to a string cannot fail.
        let _ = writeln!(
            line,
            "{},{},{},{:.6},{:.6},{:.6},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            person.user_id(),
            iso(person.signup_us),
            iso(self.snapshot_us),
            odds.churn,
            odds.support(),
            odds.convert(),
            bit(self.churned),
            bit(self.needed_support),
            bit(self.converted),
            self.needs_help_at.map_or("", Step::key),
            causes.active_days,
            bit(causes.data_connected),
            causes.errors,
            causes.help_searches,
            bit(causes.stuck_on_data),
            causes.pricing_views,
            causes.invites,
            bit(causes.referral),
            bit(causes.trial),
            causes.step_reached,
        );
    }
}
