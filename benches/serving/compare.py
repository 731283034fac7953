"""Load on `segue serve` beside a bare echo and beside what is used today; see README.md."""

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import h2load
import servers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "peers"))
import machine  # noqa: E402
from results import write_section  # noqa: E402

IN_FLIGHT = {"connections": 8, "streams": 4}
SCORE, BATCH = "/segue.v1.ScoringService/Score", "/segue.v1.ScoringService/ScoreBatch"
INFER = "/inference.GRPCInferenceService/ModelInfer"


def parsed():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segue", required=True, help="the binary to serve with")
    parser.add_argument("--load", required=True, help="segue-load")
    parser.add_argument("--environments", required=True, type=Path, help="folder of fastapi, mlserver and triton")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--echo-rounds", type=int, default=13, help="of a second or two each, beside the echo")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--reloads", type=int, default=10_000)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=HERE.parent / "RESULTS.md")
    parser.add_argument("--machine", default="", help="what it is, for a section beside that of another machine")
    return parser.parse_args()


def url(server, path):
    return f"http://127.0.0.1:{server.port}{path}"


def measured(server, path, body, requests, **options):
    """One run, with the CPU time that the server took for it."""
    before = server.cpu_s()
    figures = h2load.run(url(server, path), body, requests=requests, **(IN_FLIGHT | options))
    return figures | {"cpu_us": (server.cpu_s() - before) / requests * 1e6}


def metric(server, name):
    """Sum over all labels of one sample of the metrics page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/metrics") as page:
        lines = page.read().decode().splitlines()
    values = [line.rsplit(" ", 1)[1] for line in lines if line.split("{")[0].split(" ")[0] == name]
    return sum(map(float, values))


def handled_ok(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/metrics") as page:
        lines = page.read().decode().splitlines()
    scoring = [one for one in lines if one.startswith("grpc_server_handled_total") and '"OK"' in one]
    return sum(float(one.rsplit(" ", 1)[1]) for one in scoring if 'grpc_method="Score' in one or "ModelInfer" in one)


def medians(rounds):
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def ratio(ours, theirs, key):
    """Median and range of the ratios within each round."""
    ratios = sorted(one[key] / other[key] for one, other in zip(ours, theirs))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


def beside_echo(options, folder, work):
    lines = [
        "| request | requests/s: segue | echo | ratio (aim) | p50, us: segue | echo | ratio (aim 1.2) | p99, us: segue | echo | ratio (aim 1.2) | server CPU, us: segue | echo |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, aim in (("score-named", 0.85), ("score-packed", 0.92)):
        body, other = folder / f"{name}.bin", folder / f"{name}.echo.bin"
        with servers.segue(options.segue, folder, work) as segue:
            size = measured(segue, SCORE, body, 2000)["response_bytes"]
            with servers.echo(options.load, size, work) as echo:
                measured(echo, "/segue.load.Echo/Echo", other, 2000)
                ours, theirs = [], []
                before = handled_ok(segue)
                for _ in range(options.echo_rounds):
                    theirs.append(measured(echo, "/segue.load.Echo/Echo", other, options.requests))
                    ours.append(measured(segue, SCORE, body, options.requests))
                wrong = options.echo_rounds * options.requests - (handled_ok(segue) - before)
                if wrong:
                    raise SystemExit(f"{wrong:.0f} requests were not answered with OK")
        mine, echo = medians(ours), medians(theirs)
        lines.append(
            f"| {name} | {mine['per_second']:,.0f} | {echo['per_second']:,.0f} | **{ratio(ours, theirs, 'per_second')}** ({aim}) "
            f"| {mine['p50']:.0f} | {echo['p50']:.0f} | **{ratio(ours, theirs, 'p50')}** "
            f"| {mine['p99']:.0f} | {echo['p99']:.0f} | **{ratio(ours, theirs, 'p99')}** "
            f"| {mine['cpu_us']:.1f} | {echo['cpu_us']:.1f} |"
        )
    return lines


def batches(options, folder, work):
    """Where the time of a batch goes, one at a time: as the caller waits, and as the processors work."""
    lines = [
        "| batch of 1,000 rows | rows/s | answer, ms | reading the message, ms | rows read and scored, ms | share of the answer "
        "| server CPU, ms | of the threads that read and score rows, ms | with reading the message, share of the CPU |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("batch-packed", "batch-named"):
        body = folder / f"{name}.bin"
        decode = json.loads(subprocess.run([options.load, "decode", body], capture_output=True, text=True, check=True).stdout)
        with servers.segue(options.segue, folder, work) as segue:
            run = {"requests": 1000, "connections": 1, "streams": 1}

            def seen():
                histograms = [metric(segue, one) for one in ("segue_compute_seconds_sum", "grpc_server_handling_seconds_sum")]
                return [*histograms, segue.cpu_s(), segue.threads_cpu_s("segue-score")]

            h2load.run(url(segue, BATCH), body, **run)
            rounds = []
            for _ in range(options.rounds):
                before = seen()
                figures = h2load.run(url(segue, BATCH), body, **run)
                spent = [(late - early) / run["requests"] * 1e3 for early, late in zip(before, seen())]
                keys = ("compute", "handling", "cpu", "pool")
                rounds.append({"rows": figures["per_second"] * 1000, **dict(zip(keys, spent))})
        middle = medians(rounds)
        message = decode["message_ms"]
        lines.append(
            f"| {name} | {middle['rows']:,.0f} | {middle['handling']:.2f} | {message:.2f} | {middle['compute']:.2f} "
            f"| **{(middle['compute'] + message) / middle['handling']:.0%}** (aim 80 %) "
            f"| {middle['cpu']:.2f} | {middle['pool']:.2f} | **{(middle['pool'] + message) / middle['cpu']:.0%}** (aim 80 %) |"
        )
    return lines


def reloads(options, folder, work):
    with servers.segue(options.segue, folder, work) as segue:
        h2load.run(url(segue, SCORE), folder / "score-named.bin", requests=5000, **IN_FLIGHT)
        command = [options.load, "reload", "--target", f"http://127.0.0.1:{segue.port}", "--pid", str(segue.process.pid)]
        command += ["--times", str(options.reloads)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def reload_lines(figures):
    rss = figures["rss_mb"]
    half = rss[len(rss) // 2 :]
    steps = range(len(half))
    mean = statistics.mean(steps), statistics.mean(half)
    slope = sum((x - mean[0]) * (y - mean[1]) for x, y in zip(steps, half)) / sum((x - mean[0]) ** 2 for x in steps)
    per_thousand = slope * 1000 / figures["every"]
    return [
        f"A version of 500 trees of 31 leaves takes {figures['mb_per_model']:.1f} MB of resident memory "
        f"(mean of {figures['n_models']} loaded side by side). {figures['times']:,} reloads of such a version under an alias "
        f"({figures['reload_ms']:.1f} ms each, the commit to the registry included): resident memory {rss[0]:.0f} MB before, "
        f"{max(rss):.0f} MB at most, {rss[-1]:.0f} MB after; slope over the second half **{per_thousand:+.3f} MB a thousand reloads**."
    ]


def strain(options, folder, work):
    """Swaps under a steady load; ten times the load that there is room for."""
    lines = ["| a steady 1,000 calls/s | calls | failed | p50, us: in peace | while swapping | p99, us: in peace | while swapping | ratio (aim 2) |", "|---|---|---|---|---|---|---|---|"]
    for model, trees in (("churn", 100), ("large", 500)):
        with servers.segue(options.segue, folder, work) as segue:
            command = [options.load, "swaps", "--target", f"http://127.0.0.1:{segue.port}", "--model", model]
            command += ["--body", folder / "score-named.bin", "--times", str(options.swaps)]
            seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        first = seen["callers_go_first"]
        steady, swapping = seen["steady"], seen["swapping"]
        lines.append(
            f"| {seen['swaps']:,} promotions and rollbacks, {trees} trees | {steady['n'] + swapping['n']:,} | {seen['failed']} "
            f"| {steady['p50_us']} | {swapping['p50_us']} | {steady['p99_us']} | {swapping['p99_us']} | **{swapping['p99_us'] / steady['p99_us']:.2f}** |"
        )
    room = 4
    with servers.segue(options.segue, folder, work, "--max-in-flight", str(room)) as segue:
        command = [options.load, "overload", "--target", f"http://127.0.0.1:{segue.port}"]
        command += ["--body", folder / "batch-packed.bin", "--room", str(room)]
        seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    lines += ["", f"| {10 * room} callers with batches of 1,000 rows, room for {room} | answers | p50, us | p99, us |", "|---|---|---|---|"]
    names = {
        "admitted": "admitted",
        "refused": "refused, as those callers see it",
        "refused_one_row": "refused, as a caller of one row beside them sees it (aim 5,000)",
        "promotions": "promotions",
    }
    for key, name in names.items():
        lines.append(f"| {name} | {seen[key]['n']:,} | {seen[key]['p50_us']:,} | {seen[key]['p99_us']:,} |")
    first = "have real-time priority, as if on a machine of their own" if first else "wait for the processors that the server takes"
    lines += ["", f"The 1,000 calls a second and the caller of one row {first}."]
    return lines


def peers(options, folder, work):
    """The same rows by the same trees, through what is used today."""
    environments = options.environments
    python = {name: environments / name / "bin/python" for name in ("fastapi", "mlserver", "triton")}
    few = max(2000, options.requests // 50)
    with contextlib.ExitStack() as stack:
        segue = stack.enter_context(servers.segue(options.segue, folder, work))
        fastapi = stack.enter_context(servers.fastapi(python["fastapi"], folder, work))
        frames = stack.enter_context(servers.fastapi(python["fastapi"], folder, work, frames=True))
        mlserver = stack.enter_context(servers.mlserver(python["mlserver"], folder, work))
        json_options = {"content_type": "application/json", "http1": True, "connections": 32, "streams": 1}
        contenders = {
            "segue, gRPC Score, named": (segue, SCORE, folder / "score-named.bin", options.requests, {}),
            "segue, gRPC ModelInfer": (segue, INFER, folder / "infer.bin", options.requests, {}),
            "FastAPI + LightGBM, 2 workers, NumPy": (fastapi, "/score", folder / "row.json", few, json_options),
            "FastAPI + LightGBM, 2 workers, pandas": (frames, "/score", folder / "row.json", few, json_options),
            "MLServer + LightGBM, gRPC": (mlserver, INFER, folder / "infer.bin", few, {}),
        }
        rounds = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, (server, path, body, requests, more) in contenders.items():
                rounds[name].append(measured(server, path, body, requests, **more))
        clients = {}
        for name, server, tensor in (("segue", segue, "input__0"), ("MLServer", mlserver, "input")):
            for n_threads in (1, 8):
                command = [python["triton"], HERE / "triton_client.py", f"127.0.0.1:{server.port}", tensor, folder / "rows.json"]
                command += [str(n_threads), str(3000 // n_threads)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                clients[name, n_threads] = json.loads(done.stdout)
    different = max(abs(a - b) for a, b in zip(clients["segue", 1]["answers"], clients["MLServer", 1]["answers"]))
    if not math.isfinite(different) or different > 1e-9:
        raise SystemExit(f"the servers disagree about a score by {different}")
    best = rounds["segue, gRPC Score, named"]
    lines = ["| server | requests/s | segue's are | p50, us | p99, us | segue's p99 is | server CPU, us | ", "|---|---|---|---|---|---|---|"]
    for name, figures in rounds.items():
        middle = medians(figures)
        lines.append(
            f"| {name} | {middle['per_second']:,.0f} | {ratio(best, figures, 'per_second')} x | {middle['p50']:,.0f} | {middle['p99']:,.0f} "
            f"| {ratio(best, figures, 'p99')} | {middle['cpu_us']:,.0f} |"
        )
    lines += ["", "| tritonclient, unchanged | calls/s | p50, us | p99, us |", "|---|---|---|---|"]
    for (name, n_threads), figures in clients.items():
        lines.append(f"| {name}, {n_threads} thread{'s' * (n_threads > 1)} | {figures['per_second']:,.0f} | {figures['p50']:,.0f} | {figures['p99']:,.0f} |")
    lines += ["", f"Largest difference between the scores of segue and of LightGBM in MLServer over 64 rows: {different:.1e}."]
    return lines


def main():
    options = parsed()
    hardware = machine.hardware()
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        folder = work / "load"
        subprocess.run([options.load, "prepare", folder], check=True)
        echo = beside_echo(options, folder, work)
        batch = batches(options, folder, work)
        memory = reload_lines(reloads(options, folder, work))
        strained = strain(options, folder, work)
        today = peers(options, folder, work)
    named = f" --machine '{options.machine}'" if options.machine else ""
    body = [
        f"`benches/serving/run.sh --rounds {options.rounds} --echo-rounds {options.echo_rounds} --requests {options.requests}{named}`. h2load on loopback, 32 requests in flight on "
        "8 connections, generator and server on the same two cores; 40 features (34 numbers, 6 categories), 100 trees of 31 leaves; "
        "medians of the rounds, ratios within each round (smallest-largest), every answer checked to be OK by the server's own count.",
        "",
        "### Beside a bare tonic echo of the same message sizes",
        "",
        *echo,
        "",
        "### Batches",
        "",
        *batch,
        "",
        "### Swaps and overload",
        "",
        *strained,
        "",
        "### Memory",
        "",
        *memory,
        "",
        "### Beside what is used today, the same trees",
        "",
        *today,
        "",
        f"{hardware['processor']}; {hardware['memory']}; {hardware['system']}; segue at {hardware['commit']}. Load average at the start: {hardware['load']}.",
    ]
    if options.machine:
        name, title = f"serving {options.machine}", f"Serving: {options.machine}"
        write_section(options.results, name, title, "\n".join(body), behind="serving")
    else:
        write_section(options.results, "serving", "Serving", "\n".join(body))


if __name__ == "__main__":
    main()
