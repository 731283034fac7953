//! The truth file against the event file, and against the documented formulas.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Seen, histories, micros, read_lines, read_truth};
use super::{run, small};
use crate::summary::auc;
use crate::{Direction, SimulationParams, planted_causes};

const DAY_US: i64 = 86_400_000_000;

fn number(row: &BTreeMap<&str, &str>, column: &str) -> f64 {
    row[column].parse().expect("a number")
}

fn count(history: &[Seen], before: i64, name: &str) -> usize {
    history.iter().filter(|seen| seen.ts < before && seen.name == name).count()
}

#[test]
fn causes_agree_with_a_recount_of_the_dirty_log() {
    let simulation = run(&small(1_500));
    let histories = histories(&read_lines(&simulation.events).0);
    let rows = read_truth(&simulation.truth);
    assert_eq!(rows.len(), histories.len());
    for row in &rows {
        let history = &histories[row["user_id"]];
        let (signup, snapshot) = (micros(row["signup_ts"]), micros(row["snapshot_ts"]));
        assert_eq!(snapshot - signup, 7 * DAY_US);
        let signed_up = history.iter().find(|seen| seen.name == "Signed Up").expect("a signup");
        assert_eq!(signed_up.ts, signup);
        let dates: BTreeSet<i64> = history
            .iter()
            .filter(|seen| (signup..snapshot).contains(&seen.ts))
            .map(|seen| seen.ts.div_euclid(DAY_US))
            .collect();
        let connected = count(history, snapshot, "Data Connected") > 0;
        let created = count(history, snapshot, "Workspace Created") > 0;
        let identify = history.iter().find(|seen| seen.name == "identify").expect("an identify");
        let traits = &identify.line["traits"];
        let steps =
            ["Workspace Created", "Data Connected", "Teammate Invited", "First Report Built"];
        let reached = steps.iter().take_while(|step| count(history, snapshot, step) > 0).count();
        let expected = [
            ("active_days", dates.len()),
            ("data_connected", usize::from(connected)),
            ("errors", count(history, snapshot, "Error Shown")),
            ("help_searches", count(history, snapshot, "Help Searched")),
            ("stuck_on_data", usize::from(created && !connected)),
            ("pricing_views", count(history, snapshot, "Pricing")),
            ("invites", count(history, snapshot, "Teammate Invited")),
            ("referral", usize::from(traits["traffic_source"] == "referral")),
            ("trial", usize::from(traits["plan"] == "trial")),
            ("step_reached", reached),
        ];
        for (column, value) in expected {
            assert_eq!(row[column], value.to_string(), "{column} of {}", row["user_id"]);
        }
    }
}

#[test]
fn outcomes_agree_with_the_label_window() {
    let simulation = run(&small(1_500));
    let (lines, _) = read_lines(&simulation.events);
    let histories = histories(&lines);
    let mut n_tickets = 0;
    for row in read_truth(&simulation.truth) {
        let history = &histories[row["user_id"]];
        let from = micros(row["snapshot_ts"]);
        let window: Vec<&Seen> =
            history.iter().filter(|seen| (from..from + 28 * DAY_US).contains(&seen.ts)).collect();
        let tickets: Vec<&&Seen> =
            window.iter().filter(|seen| seen.name == "Support Ticket Opened").collect();
        let upgrades = window.iter().filter(|seen| seen.name == "Plan Upgraded").count();
        let bit = |condition: bool| if condition { "1" } else { "0" };
        assert_eq!(row["churn"], bit(window.is_empty()), "{}", row["user_id"]);
        assert_eq!(row["support"], bit(!tickets.is_empty()), "{}", row["user_id"]);
        assert_eq!(row["convert"], bit(upgrades == 1), "{}", row["user_id"]);
        let step = tickets.first().and_then(|ticket| ticket.line["properties"]["step"].as_str());
        assert_eq!(row["needs_help_at"], step.unwrap_or(""));
        n_tickets += tickets.len();
        // No outcome happens outside its window: everyone is eligible at the snapshot.
        for name in ["Support Ticket Opened", "Plan Upgraded"] {
            assert_eq!(count(history, from, name), 0);
            assert_eq!(
                count(history, i64::MAX, name),
                window.iter().filter(|seen| seen.name == name).count()
            );
        }
        assert_eq!(count(history, from + 28 * DAY_US, "Subscription Cancelled"), 0);
    }
    assert!(n_tickets > 100, "{n_tickets} tickets");
}

#[test]
fn every_row_is_mature_for_a_reader_that_waits_a_week() {
    let simulation = run(&small(1_500));
    let histories = histories(&read_lines(&simulation.events).0);
    let end = histories.values().flatten().map(|seen| seen.ts).max().expect("events");
    for row in read_truth(&simulation.truth) {
        assert!(micros(row["snapshot_ts"]) + (28 + 7) * DAY_US <= end, "{}", row["user_id"]);
    }
}

#[test]
fn probabilities_are_the_documented_functions_of_the_columns() {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    for row in read_truth(&run(&small(500)).truth) {
        let value = |column: &str| number(&row, column);
        let errors = value("errors").min(5.0);
        let (connected, stuck) = (value("data_connected"), value("stuck_on_data"));
        let churn = 1.65 - 0.75 * value("active_days").min(7.0) - 1.2 * connected
            + (0.35 + 0.25 * (1.0 - connected)) * errors;
        let support =
            -3.6 + value("help_searches").min(5.0) + 1.6 * stuck + (0.3 + 0.25 * stuck) * errors;
        let convert = -2.8
            + 0.65 * value("pricing_views").min(5.0)
            + 0.6 * value("invites").min(4.0)
            + 0.9 * value("referral")
            + 0.7 * value("trial");
        let stays = 1.0 - sigmoid(churn);
        for (column, p) in [
            ("p_churn", sigmoid(churn)),
            ("p_support", stays * sigmoid(support)),
            ("p_convert", stays * sigmoid(convert)),
        ] {
            assert!((value(column) - p).abs() < 1e-6, "{column} of {}", row["user_id"]);
        }
    }
}

#[test]
fn outcomes_are_drawn_from_the_probabilities_and_from_nothing_else() {
    let simulation = run(&small(6_000));
    let histories = histories(&read_lines(&simulation.events).0);
    let rows = read_truth(&simulation.truth);
    // Surplus of outcomes over their probabilities, per group of people and outcome: sum and variance.
    let mut surplus: BTreeMap<(String, &str), (f64, f64)> = BTreeMap::new();
    for row in &rows {
        let history = &histories[row["user_id"]];
        let identify = history.iter().find(|seen| seen.name == "identify").expect("an identify");
        let size = identify.line["traits"]["company_size"].as_u64().expect("a size");
        let n_events = history.iter().filter(|seen| seen.ts < micros(row["snapshot_ts"])).count();
        let groups = [
            "everyone".to_owned(),
            format!("device {}", identify.line["traits"]["device"]),
            format!("source {}", identify.line["traits"]["traffic_source"]),
            format!("company above 50: {}", size > 50),
            format!("more than 20 events: {}", n_events > 20),
        ];
        for (p, outcome) in
            [("p_churn", "churn"), ("p_support", "support"), ("p_convert", "convert")]
        {
            let p = number(row, p);
            for group in &groups {
                let sums = surplus.entry((group.clone(), outcome)).or_default();
                sums.0 += number(row, outcome) - p;
                sums.1 += p * (1.0 - p);
            }
        }
    }
    assert!(surplus.len() > 30);
    for ((group, outcome), (sum, variance)) in surplus {
        let deviations = sum / variance.sqrt();
        assert!(
            deviations.abs() < 4.0,
            "{outcome} of {group}: {deviations:.1} standard deviations"
        );
    }
}

#[test]
fn base_rates_and_bayes_scores_are_as_promised() {
    for seed in [7, 8, 9] {
        let summary = run(&SimulationParams { seed, ..SimulationParams::default() }).summary;
        let bands = [
            (summary.churn, 0.31..0.39, 0.82..0.87),
            (summary.support_need, 0.10..0.14, 0.78..0.83),
            (summary.conversion, 0.12..0.17, 0.78..0.83),
        ];
        for (task, rates, scores) in bands {
            let bayes = task.bayes_auc.expect("two classes");
            assert!(rates.contains(&task.base_rate), "seed {seed}: {task:?}");
            assert!(scores.contains(&bayes), "seed {seed}: {task:?}");
        }
    }
}

#[test]
fn each_planted_cause_points_the_way_it_says() {
    let truth = run(&small(6_000)).truth;
    let rows = read_truth(&truth);
    for cause in planted_causes() {
        let outcome = match cause.task {
            "churn" => "churn",
            "support_need" => "support",
            "conversion" => "convert",
            other => panic!("unknown task {other}"),
        };
        let scores =
            rows.iter().map(|row| (number(row, cause.driver), row[outcome] == "1")).collect();
        let area = auc(scores).expect("two classes");
        let side = if cause.direction == Direction::Raises { area - 0.5 } else { 0.5 - area };
        // Who comes often also meets more errors, which hides their effect on churn from a look at errors alone.
        let alone = !(cause.driver == "errors" && cause.task == "churn");
        assert!(!alone || side > 0.01, "{} of {}: {area:.3}", cause.driver, cause.task);
    }
}

#[test]
fn auc_counts_ties_half() {
    assert_eq!(auc(vec![(0.1, false), (0.2, true), (0.2, false), (0.3, true)]), Some(0.875));
    assert_eq!(auc(vec![(0.5, false), (0.5, true)]), Some(0.5));
    assert_eq!(auc(vec![(0.9, false), (0.5, true)]), Some(0.0));
    assert_eq!(auc(vec![(0.9, true)]), None);
    assert_eq!(auc(Vec::new()), None);
}
