"""tritonclient, unchanged, against one server: latencies in microseconds as one line of JSON."""

import json
import sys
import threading
import time

import numpy as np
import tritonclient.grpc as triton

target, input_name, rows_file, n_threads, n_requests = sys.argv[1:6]
rows = np.array(json.load(open(rows_file)), dtype=np.float64)[:64]


def work(latencies, answers):
    client = triton.InferenceServerClient(target)
    for index in range(int(n_requests)):
        row = rows[index % len(rows) : index % len(rows) + 1]
        tensor = triton.InferInput(input_name, list(row.shape), "FP64")
        tensor.set_data_from_numpy(row)
        started = time.perf_counter_ns()
        answer = client.infer("churn", [tensor])
        latencies.append((time.perf_counter_ns() - started) / 1000)
        if index < len(rows):
            output = answer.get_response().outputs[0].name
            answers.append(float(answer.as_numpy(output).reshape(-1)[0]))


latencies, answers = [], []
started = time.perf_counter()
threads = [threading.Thread(target=work, args=(latencies, answers)) for _ in range(int(n_threads))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
took = time.perf_counter() - started
latencies.sort()
print(
    json.dumps(
        {
            "per_second": len(latencies) / took,
            "p50": latencies[len(latencies) // 2],
            "p99": latencies[len(latencies) * 99 // 100],
            "answers": answers[:64] if int(n_threads) == 1 else [],
        }
    )
)
