"""The features of features.toml with DuckDB: python with_duckdb.py FOLDER OUT THREADS."""

import sys

import duckdb

EVENTS = ["search", "purchase", "help_visit"]
PAIRS = [("page_view", "search"), ("search", "view_item"), ("view_item", "add_to_cart")]


def main(folder: str, out: str, threads: str) -> None:
    counts = [
        f"count(*) FILTER (e.time >= s.t - INTERVAL {days} DAY{condition}) AS {prefix}count_{days}d"
        for days in (1, 7, 28)
        for prefix, condition in [
            ("event_", ""),
            *((f"{name}_", f" AND e.event = '{name}'") for name in EVENTS),
        ]
    ]
    # The event before is inside the window if it is, and in the same session if it is near.
    goes_on = "e.gap < 1800000000 AND e.before >= s.t - INTERVAL 28 DAY"
    pairs = [
        f"count(*) FILTER (in_window AND {goes_on} AND e.name_before = '{a}' AND e.event = '{b}')"
        f" AS {a}_{b}"
        for a, b in PAIRS
    ]
    sessions = f"count(*) FILTER (in_window AND ({goes_on}) IS NOT TRUE)"
    select = ",\n".join(
        [
            *counts,
            *(pair.replace("in_window", "e.time >= s.t - INTERVAL 28 DAY") for pair in pairs),
            f"{sessions} AS sessions_28d".replace("in_window", "e.time >= s.t - INTERVAL 28 DAY"),
            f"sum(e.gap) FILTER ({goes_on}) AS in_sessions_us",
            "max(e.time) AS last",
        ]
    )
    connection = duckdb.connect(config={"threads": int(threads)})
    connection.execute(
        f"""
        COPY (
            WITH e AS (
                SELECT "user", event, time,
                    lag(event) OVER w AS name_before,
                    lag(time) OVER w AS before,
                    epoch_us(time) - epoch_us(lag(time) OVER w) AS gap
                FROM read_parquet('{folder}/events-*.parquet')
                WINDOW w AS (PARTITION BY "user" ORDER BY time)
            ), sums AS (
                SELECT s."user", s.t, {select}
                FROM read_parquet('{folder}/spine.parquet') s
                LEFT JOIN e ON e."user" = s."user" AND e.time < s.t
                GROUP BY s."user", s.t
            )
            SELECT * EXCLUDE (in_sessions_us, last),
                CASE WHEN sessions_28d > 0
                    THEN coalesce(in_sessions_us, 0) / 1e6 / sessions_28d END
                    AS session_mean_length_28d,
                (epoch_us(t) - epoch_us(last)) / 1e6 AS time_since_last
            FROM sums
        ) TO '{out}' (FORMAT parquet)
        """
    )


main(*sys.argv[1:])
