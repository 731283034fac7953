//! What happens in the product: events before they are put on a wire.

use serde::Serialize;

/// A step of onboarding, in the order in which the product asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    CreateWorkspace,
    ConnectData,
    InviteTeammate,
    BuildReport,
}

impl Step {
    pub(crate) const ALL: [Self; 4] =
        [Self::CreateWorkspace, Self::ConnectData, Self::InviteTeammate, Self::BuildReport];

    /// 1 to 4.
    pub(crate) fn number(self) -> u32 {
        self as u32 + 1
    }

    /// The value of the property `step`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::CreateWorkspace => "create_workspace",
            Self::ConnectData => "connect_data",
            Self::InviteTeammate => "invite_teammate",
            Self::BuildReport => "build_report",
        }
    }

    /// The event by which the step is done.
    pub(crate) fn event(self) -> &'static str {
        match self {
            Self::CreateWorkspace => "Workspace Created",
            Self::ConnectData => "Data Connected",
            Self::InviteTeammate => "Teammate Invited",
            Self::BuildReport => "First Report Built",
        }
    }
}

/// Steps done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StepsDone(u8);

impl StepsDone {
    pub(crate) fn insert(&mut self, step: Step) {
        self.0 |= 1 << step as u8;
    }

    pub(crate) fn contains(self, step: Step) -> bool {
        self.0 & (1 << step as u8) != 0
    }

    /// The first step not yet done.
    pub(crate) fn next(self) -> Option<Step> {
        Step::ALL.into_iter().find(|&step| !self.contains(step))
    }
}

/// A page of the public site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Home,
    Pricing,
    Docs,
    Blog,
}

impl Page {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Pricing => "Pricing",
            Self::Docs => "Docs",
            Self::Blog => "Blog",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Pricing => "/pricing",
            Self::Docs => "/docs",
            Self::Blog => "/blog",
        }
    }
}

/// What a page view, a track or an identify says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    Page(Page),
    /// The person becomes known, or a trait changed; the plan from now on.
    Identified {
        plan: &'static str,
    },
    SignedUp,
    /// The event of the step itself; invitations may repeat.
    StepDone(Step),
    /// `Onboarding Step Completed`, once a step.
    StepCompleted(Step),
    DashboardViewed {
        dashboard: &'static str,
    },
    ReportExported {
        format: &'static str,
    },
    AutomationCreated,
    HelpSearched {
        topic: &'static str,
    },
    HelpArticleViewed {
        topic: &'static str,
    },
    ErrorShown {
        code: &'static str,
        step: Option<Step>,
    },
    TicketOpened {
        step: Option<Step>,
    },
    PlanUpgraded {
        plan: &'static str,
        revenue: f64,
    },
    SubscriptionCancelled {
        reason: &'static str,
    },
}

/// Something that happened, microseconds UTC, whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Happening {
    pub(crate) ts: i64,
    pub(crate) what: What,
    /// Whether the person was not yet known.
    pub(crate) anonymous: bool,
}

impl Happening {
    /// Whether a row or an outcome hangs on this event, so that it must arrive in time.
    pub(crate) fn decides(&self) -> bool {
        matches!(
            self.what,
            What::SignedUp
                | What::Identified { .. }
                | What::TicketOpened { .. }
                | What::PlanUpgraded { .. }
        )
    }
}
