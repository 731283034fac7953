"""The features of features.toml with polars' streaming engine: python with_polars.py FOLDER OUT."""

import sys

import polars as pl

EVENTS = ["search", "purchase", "help_visit"]
PAIRS = [("page_view", "search"), ("search", "view_item"), ("view_item", "add_to_cart")]


def main(folder: str, out: str) -> None:
    events = (
        pl.scan_parquet(f"{folder}/events-*.parquet")
        .sort("user", "time")
        .with_columns(
            same=pl.col("user") == pl.col("user").shift(1),
            before=pl.col("time").shift(1),
            name_before=pl.col("event").shift(1),
        )
    )
    spine = pl.scan_parquet(f"{folder}/spine.parquet")

    def inside(days: int) -> pl.Expr:
        return pl.col("time") >= pl.col("t") - pl.duration(days=days)

    gap = pl.col("time") - pl.col("before")
    # The event before is inside the window if it is, and in the same session if it is near.
    goes_on = (
        pl.col("same")
        & (gap < pl.duration(minutes=30))
        & (pl.col("before") >= pl.col("t") - pl.duration(days=28))
    ).fill_null(False)
    sums = [inside(days).sum().alias(f"event_count_{days}d") for days in (1, 7, 28)]
    sums += [
        (inside(days) & (pl.col("event") == name)).sum().alias(f"{name}_count_{days}d")
        for days in (1, 7, 28)
        for name in EVENTS
    ]
    sums += [
        (goes_on & (pl.col("name_before") == a) & (pl.col("event") == b)).sum().alias(f"{a}_{b}")
        for a, b in PAIRS
    ]
    sums += [
        (inside(28) & ~goes_on).sum().alias("sessions_28d"),
        gap.filter(goes_on).sum().alias("in_sessions"),
        pl.col("time").max().alias("last"),
    ]
    sessions = pl.col("sessions_28d")
    seconds = pl.col("in_sessions").dt.total_microseconds() / 1e6
    found = (
        spine.join(events, on="user")
        .filter(pl.col("time") < pl.col("t"))
        .group_by("user", "t")
        .agg(sums)
    )
    counts = pl.selectors.unsigned_integer()
    (
        spine.join(found, on=["user", "t"], how="left")
        .with_columns(counts.fill_null(0))
        .with_columns(
            session_mean_length_28d=pl.when(sessions > 0).then(seconds / sessions),
            time_since_last=(pl.col("t") - pl.col("last")).dt.total_microseconds() / 1e6,
        )
        .drop("in_sessions", "last")
        .sink_parquet(out, engine="streaming")
    )


main(*sys.argv[1:])
