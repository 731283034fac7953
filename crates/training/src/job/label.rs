//! What is predicted: an event, its absence, a sum, or the step where help is asked for.

use serde::{Deserialize, Serialize};

use super::Span;

/// How the events of the label window become a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// 1 iff no such event happens.
    Absent,
    /// 1 iff such an event happens.
    Occurs,
    /// Sum of `value` over such events.
    Sum,
    /// The onboarding step at which the first such event happens, or `none`.
    Step,
}

impl LabelKind {
    /// The name in job files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Occurs => "occurs",
            Self::Sum => "sum",
            Self::Step => "step",
        }
    }

    /// What such a label is.
    #[must_use]
    pub fn answer(self) -> super::Answer {
        match self {
            Self::Absent | Self::Occurs => super::Answer::YesNo,
            Self::Sum => super::Answer::Number,
            Self::Step => super::Answer::Class,
        }
    }
}

/// The label as written; what is unset comes from the task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelSection {
    /// Role or event-name glob of the events that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
    /// How they count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<LabelKind>,
    /// Property that is summed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Role or glob of the steps (`step`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<String>,
    /// Time between `t` and the label window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Span>,
    /// Length of the label window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
}

/// The label window is `[t + gap, t + gap + window)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// Role or event-name glob; `*` is any event.
    pub events: String,
    /// How events count.
    pub kind: LabelKind,
    /// Property that is summed (`sum`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Role or glob of the steps (`step`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<String>,
    /// Time between `t` and the window.
    pub gap: Span,
    /// Length of the window.
    pub window: Span,
}

impl Label {
    /// End of the window after `t`.
    #[must_use]
    pub fn reach(&self) -> Span {
        Span { us: self.gap.us + self.window.us }
    }
}
