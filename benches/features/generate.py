"""A seeded event log and the instants at which users are asked, as Parquet files.

    python generate.py FOLDER [--events 5000000] [--users 50000] [--points 75000] [--seed 7]

`events-*.parquet`: user, event, time (microseconds UTC), in the order in which they happened, so that
users are mixed as in a real log. Events come in sessions; activity per user is log-normal; names are
Zipf-like, and one out of two follows from the name before it. No user has two events at one instant, so
that every tool must find the same order. `spine.parquet`: user, t.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US
START_US = 1_767_225_600_000_000  # 2026-01-01
DAYS = 120
FILES = 4
NAMES = [
    "page_view", "search", "view_item", "add_to_cart", "checkout", "purchase", "help_visit", "login",
    "logout", "share", "comment", "like", "upload", "download", "invite", "settings",
    "export", "error", "ticket", "cancel",
]  # fmt: skip


def events(rng: np.random.Generator, n_events: int, n_users: int) -> pl.DataFrame:
    # Sessions of 1 + geometric events, gaps of seconds to minutes; a few pauses end a session early.
    activity = rng.lognormal(0.0, 0.8, n_users)
    n_sessions = n_events // 4
    session_user = np.sort(rng.choice(n_users, n_sessions, p=activity / activity.sum()))
    session_start = rng.integers(0, DAYS * DAY_US, n_sessions)
    length = rng.geometric(0.25, n_sessions)
    index = np.repeat(np.arange(n_sessions), length)
    if len(index) < n_events:
        extra = rng.integers(0, n_sessions, n_events - len(index))
        index = np.sort(np.concatenate([index, extra]))
    index = index[np.sort(rng.permutation(len(index))[:n_events])]
    gap = np.minimum(rng.exponential(4 * MINUTE_US, n_events), 90 * MINUTE_US).astype(np.int64) + 1
    first = np.r_[True, index[1:] != index[:-1]]
    since = np.cumsum(gap)
    since -= np.repeat(since[first], np.diff(np.r_[np.flatnonzero(first), n_events]))
    user = session_user[index]
    time = session_start[index] + since
    order = np.lexsort((time, user))
    user, time = user[order], time[order]
    # A tie within a user moves the later event on, as often as it takes.
    while True:
        tie = np.flatnonzero((user[1:] == user[:-1]) & (time[1:] <= time[:-1])) + 1
        if len(tie) == 0:
            break
        time[tie] = time[tie - 1] + 1
    weight = 1.0 / np.arange(1, len(NAMES) + 1) ** 0.9
    name = rng.choice(len(NAMES), n_events, p=weight / weight.sum())
    follows = rng.random(n_events) < 0.5
    follows[0] = False
    name[follows] = (name[np.flatnonzero(follows) - 1] + 1) % len(NAMES)
    arrival = np.argsort(time, kind="stable")
    users = pl.Series("user", [f"user_{i:06d}" for i in range(n_users)])
    return pl.DataFrame(
        {
            "user": users.gather(user[arrival]),
            "event": pl.Series(NAMES).gather(name[arrival]),
            "time": pl.Series(START_US + time[arrival]).cast(pl.Datetime("us", "UTC")),
        }
    )


def spine(rng: np.random.Generator, n_points: int, n_users: int) -> pl.DataFrame:
    twice = rng.permutation(n_users)[: max(n_points - n_users, 0)]
    user = np.concatenate([np.arange(min(n_users, n_points)), twice])
    t = START_US + rng.integers(30 * DAY_US, (DAYS - 10) * DAY_US, len(user))
    return pl.DataFrame(
        {
            "user": pl.Series([f"user_{i:06d}" for i in user]),
            "t": pl.Series(t).cast(pl.Datetime("us", "UTC")),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--points", type=int, default=75_000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    log = events(rng, args.events, args.users)
    share = -(-log.height // FILES)
    for part in range(FILES):
        log.slice(part * share, share).write_parquet(args.folder / f"events-{part}.parquet")
    spine(rng, args.points, args.users).write_parquet(args.folder / "spine.parquet")
    print(f"{log.height:,} events of {log['user'].n_unique():,} users, {args.points:,} points")


if __name__ == "__main__":
    main()
