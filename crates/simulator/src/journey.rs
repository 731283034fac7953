//! One person's way: visits before signup, the days up to the snapshot, and what follows from the outcomes.

use crate::causes::Causes;
use crate::chance::{Chance, Purpose, sigmoid};
use crate::happening::{Happening, Page, Step, StepsDone, What};
use crate::params::{
    BEFORE_SIGNUP_US, DAY_US, HOUR_US, MILLISECOND_US, SECOND_US, SimulationParams,
};
use crate::person::Person;
use crate::truth::Truth;

const TOPICS: [&str; 5] = ["connect_data", "invite_teammate", "permissions", "billing", "reports"];

/// A person with everything that happened, in order of time, and the truth about their outcomes.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) person: Person,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) truth: Truth,
}

impl Life {
    /// Draws a life. Depends on the person's own stream of chance and on nothing else.
    pub(crate) fn draw(params: &SimulationParams, index: u64, signup_us: i64) -> Self {
        let mut chance = Chance::new(params.seed, Purpose::Life(index));
        let person = Person::draw(index, signup_us, &mut chance);
        let snapshot_us = signup_us + params.snapshot_us();
        let mut journey = Journey::new(&person, &mut chance);
        journey.visit_before_signup();
        journey.sign_up();
        journey.live_until(snapshot_us);
        journey.happenings.sort_by_key(|happening| happening.ts);
        let causes = Causes::observe(&person, &journey.happenings);
        let mut truth = Truth::draw(snapshot_us, causes, journey.chance);
        if !truth.churned {
            let window_end_us = snapshot_us + params.label_us();
            journey.live_through_window(snapshot_us, window_end_us, &truth);
            journey.fade_out(window_end_us, params.end_us(), truth.converted);
        }
        let mut happenings = journey.happenings;
        happenings.sort_by_key(|happening| happening.ts);
        truth.needs_help_at = happenings.iter().find_map(|happening| match happening.what {
            What::TicketOpened { step } => step,
            _ => None,
        });
        Self { person, happenings, truth }
    }
}

/// What a session is about besides ordinary use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    None,
    /// To be seen again after the snapshot.
    ComeBack,
    Ticket,
    Upgrade,
    Cancel,
}

struct Journey<'a> {
    person: &'a Person,
    chance: &'a mut Chance,
    done: StepsDone,
    happenings: Vec<Happening>,
    /// Time within the session at hand.
    now_us: i64,
    /// Nothing of the session at hand happens at or after it.
    until_us: i64,
}

impl<'a> Journey<'a> {
    fn new(person: &'a Person, chance: &'a mut Chance) -> Self {
        let signup_us = person.signup_us;
        Self {
            person,
            chance,
            done: StepsDone::default(),
            happenings: Vec::with_capacity(64),
            now_us: signup_us,
            until_us: signup_us,
        }
    }

    fn push(&mut self, what: What, anonymous: bool) {
        self.happenings.push(Happening { ts: self.now_us, what, anonymous });
    }

    /// Goes on in the session and lets something happen, unless time is over.
    fn let_happen(&mut self, what: What) -> bool {
        self.now_us += self.chance.seconds_us(4.0, 90.0);
        let in_time = self.now_us < self.until_us;
        if in_time {
            self.push(what, false);
        }
        in_time
    }

    fn visit_before_signup(&mut self) {
        let n_visits = self.chance.choose(&[(0, 0.25), (1, 0.45), (2, 0.3)], 0);
        let earliest_us = self.person.signup_us - BEFORE_SIGNUP_US + HOUR_US;
        for visit in 0..n_visits {
            // The last visit ends in the signup, an earlier one lies up to four days back.
            self.now_us = if visit + 1 == n_visits {
                self.person.signup_us - self.chance.seconds_us(240.0, 600.0)
            } else {
                earliest_us + self.chance.seconds_us(0.0, 3.0 * 86_400.0)
            };
            for page in self.pages() {
                self.push(What::Page(page), true);
                self.now_us += self.chance.seconds_us(5.0, 55.0);
            }
        }
    }

    fn pages(&mut self) -> Vec<Page> {
        let mut pages = vec![Page::Home];
        for (page, p) in [(Page::Blog, 0.2), (Page::Docs, 0.25), (Page::Pricing, self.p_pricing())]
        {
            if self.chance.happens(p) {
                pages.push(page);
            }
        }
        pages
    }

    fn p_pricing(&self) -> f64 {
        sigmoid(-1.9 + 0.9 * self.person.interest)
    }

    fn sign_up(&mut self) {
        self.now_us = self.person.signup_us;
        self.push(What::SignedUp, false);
        self.now_us += 40 * MILLISECOND_US;
        self.push(What::Identified { plan: self.person.plan }, false);
    }

    /// From signup to the snapshot: a first session at once, then day by day.
    fn live_until(&mut self, snapshot_us: i64) {
        let signup_us = self.person.signup_us;
        self.until_us = snapshot_us;
        self.session(self.now_us, Errand::None);
        let p_active = sigmoid(-0.35 + 1.1 * self.person.engagement);
        let tomorrow = signup_us.div_euclid(DAY_US) + 1;
        let mut plan = Vec::new();
        for date in tomorrow..=snapshot_us.div_euclid(DAY_US) {
            self.plan_day(date, p_active, &mut plan);
        }
        self.carry_out(plan);
    }

    /// The label window of someone who stays: at least one session, the errands that were drawn, and
    /// ordinary days between.
    fn live_through_window(&mut self, from_us: i64, until_us: i64, truth: &Truth) {
        self.now_us = from_us;
        self.until_us = until_us;
        // Errands start two hours before the end at the latest: time enough to run them one after another.
        let length_s = (until_us - from_us - 2 * HOUR_US) as f64 / SECOND_US as f64;
        let mut plan =
            vec![(from_us + self.chance.seconds_us(0.0, 0.6 * length_s), Errand::ComeBack)];
        if truth.needed_support {
            plan.push((from_us + self.chance.seconds_us(0.0, 0.5 * length_s), Errand::Ticket));
        }
        if truth.converted {
            plan.push((from_us + self.chance.seconds_us(0.0, length_s), Errand::Upgrade));
        }
        let p_active = 0.04 + 0.03 * f64::from(truth.causes.active_days.min(7));
        for date in from_us.div_euclid(DAY_US)..=until_us.div_euclid(DAY_US) {
            self.plan_day(date, p_active, &mut plan);
        }
        plan.retain(|&(start_us, _)| start_us >= from_us);
        self.carry_out(plan);
    }

    /// After the label window people leave week by week; who pays or tries may cancel on leaving.
    fn fade_out(&mut self, from_us: i64, end_us: i64, paying: bool) {
        let p_leave = if paying { 0.06 } else { 0.3 };
        let p_active = 0.05 + 0.12 * sigmoid(self.person.engagement);
        self.until_us = end_us;
        let mut plan = Vec::new();
        for date in from_us.div_euclid(DAY_US) + 1..=end_us.div_euclid(DAY_US) {
            if date.rem_euclid(7) == 0 && self.chance.happens(p_leave) {
                if (paying || self.person.plan == "trial") && self.chance.happens(0.6) {
                    let start_us = date * DAY_US + self.chance.seconds_us(0.0, 80_000.0);
                    plan.push((start_us, Errand::Cancel));
                }
                break;
            }
            self.plan_day(date, p_active, &mut plan);
        }
        self.carry_out(plan);
    }

    /// A calendar day that may see a session or two.
    fn plan_day(&mut self, date: i64, p_active: f64, plan: &mut Vec<(i64, Errand)>) {
        // 1970-01-01 was a Thursday.
        let weekend = matches!((date + 4).rem_euclid(7), 0 | 6);
        if !self.chance.happens(p_active * if weekend { 0.45 } else { 1.0 }) {
            return;
        }
        let n_sessions = if self.chance.happens(0.2) { 2 } else { 1 };
        for _ in 0..n_sessions {
            let hour = (self.person.hour + 2.0 * self.chance.normal()).clamp(0.0, 22.5);
            let minute_us = self.chance.seconds_us(0.0, 60.0);
            plan.push((
                date * DAY_US + (hour * 3_600.0) as i64 * SECOND_US + minute_us,
                Errand::None,
            ));
        }
    }

    /// Runs sessions in order of time. One without an errand that would begin within half an hour of
    /// the last one's end is part of it and adds nothing; one with an errand waits its turn.
    fn carry_out(&mut self, mut plan: Vec<(i64, Errand)>) {
        plan.sort_by_key(|&(start_us, _)| start_us);
        for (start_us, errand) in plan {
            if errand != Errand::None || start_us > self.now_us + HOUR_US / 2 {
                self.session(start_us.max(self.now_us), errand);
            }
        }
    }

    fn session(&mut self, start_us: i64, errand: Errand) {
        self.now_us = start_us;
        if self.done.contains(Step::CreateWorkspace) {
            let n_views = 1 + self.chance.poisson(0.5, 4);
            for _ in 0..n_views {
                let dashboards = ["overview", "revenue", "retention", "traffic"];
                let dashboard = dashboards[self.chance.below(4) as usize];
                self.let_happen(What::DashboardViewed { dashboard });
            }
        } else {
            self.let_happen(What::Page(Page::Home));
        }
        match errand {
            Errand::None | Errand::ComeBack => {}
            Errand::Ticket => self.open_ticket(),
            Errand::Upgrade => self.upgrade(),
            Errand::Cancel => {
                let reason = ["price", "missing_feature", "no_time"][self.chance.below(3) as usize];
                self.let_happen(What::SubscriptionCancelled { reason });
                return;
            }
        }
        self.onboard();
        self.use_features();
        self.look_around();
    }

    fn open_ticket(&mut self) {
        let step = self.done.next();
        let topic = step.map_or("reports", Step::key);
        self.let_happen(What::HelpSearched { topic });
        self.let_happen(What::TicketOpened { step });
    }

    fn upgrade(&mut self) {
        let (plan, revenue) = self.person.paid_plan();
        self.let_happen(What::Page(Page::Pricing));
        self.let_happen(What::PlanUpgraded { plan, revenue });
        self.now_us += 30 * MILLISECOND_US;
        if self.now_us < self.until_us {
            self.push(What::Identified { plan }, false);
        }
    }

    /// Tries the steps that are open.
    fn onboard(&mut self) {
        if !self.done.contains(Step::CreateWorkspace) {
            if self.chance.happens(0.85) {
                self.complete(Step::CreateWorkspace);
            }
            return;
        }
        if !self.done.contains(Step::ConnectData) {
            if self.chance.happens(0.6) {
                self.try_to_connect();
            }
        } else if !self.done.contains(Step::BuildReport) && self.chance.happens(0.45) {
            self.complete(Step::BuildReport);
        }
        if self.chance.happens(sigmoid(-2.3 + 0.9 * self.person.sociability)) {
            self.complete(Step::InviteTeammate);
            for _ in 0..self.chance.poisson(0.5, 3) {
                self.let_happen(What::StepDone(Step::InviteTeammate));
            }
        }
    }

    /// Up to three tries in a session; a failed one shows an error and may send the person to the help.
    fn try_to_connect(&mut self) {
        let p_success = sigmoid(-0.1 + 0.8 * self.person.skill);
        for _ in 0..3 {
            if self.chance.happens(p_success) {
                self.complete(Step::ConnectData);
                return;
            }
            let code = ["auth_failed", "timeout", "bad_schema"][self.chance.below(3) as usize];
            self.let_happen(What::ErrorShown { code, step: Some(Step::ConnectData) });
            if self.chance.happens(0.3) {
                self.ask_for_help("connect_data");
            }
            if self.chance.happens(0.45) {
                return;
            }
        }
    }

    /// The step's own event, and the general one the first time.
    fn complete(&mut self, step: Step) {
        if !self.let_happen(What::StepDone(step)) {
            return;
        }
        let first = !self.done.contains(step);
        self.done.insert(step);
        self.now_us += 200 * MILLISECOND_US;
        if first && self.now_us < self.until_us {
            self.push(What::StepCompleted(step), false);
        }
    }

    fn use_features(&mut self) {
        if !self.done.contains(Step::ConnectData) {
            return;
        }
        if self.chance.happens(0.3) {
            let format = ["csv", "pdf", "xlsx"][self.chance.below(3) as usize];
            self.let_happen(What::ReportExported { format });
        }
        if self.done.contains(Step::BuildReport) && self.chance.happens(0.15) {
            self.let_happen(What::AutomationCreated);
        }
    }

    /// What may happen in any session: an error, a question, a look at the prices or the docs.
    fn look_around(&mut self) {
        if self.chance.happens(0.1) {
            let code = ["timeout", "internal", "forbidden"][self.chance.below(3) as usize];
            self.let_happen(What::ErrorShown { code, step: None });
        }
        if self.chance.happens(sigmoid(-2.0 - 0.6 * self.person.skill)) {
            let topic = TOPICS[self.chance.below(TOPICS.len() as u64) as usize];
            self.ask_for_help(topic);
        }
        if self.chance.happens(self.p_pricing()) {
            self.let_happen(What::Page(Page::Pricing));
        }
        if self.chance.happens(0.12) {
            self.let_happen(What::Page(Page::Docs));
        }
    }

    fn ask_for_help(&mut self, topic: &'static str) {
        self.let_happen(What::HelpSearched { topic });
        if self.chance.happens(0.6) {
            self.let_happen(What::HelpArticleViewed { topic });
        }
    }
}
