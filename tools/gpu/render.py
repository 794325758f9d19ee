# SPDX-License-Identifier: Apache-2.0
"""A report for people: Markdown from report.json, nothing else."""


def cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def table(titles, rows):
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def totals(tests):
    return {
        key: sum(test.get(key, 0) for test in tests)
        for key in ("run", "passed", "failed", "skipped", "cuda_calls")
    }


def heading(report):
    machine, build = report["machine"], report["build"]
    text = "# GPU report\n\n"
    if report["rehearsal"]:
        text += f"**A rehearsal on the {report['backend']} backend: no evidence.**\n\n"
    facts = [
        ("date", report["date"]),
        ("device", machine["device"]),
        ("compute capability", machine["compute_capability"]),
        ("driver", machine["driver"]),
        ("CUDA runtime", build["cuda"]),
        ("compiled for", build["architectures"]),
        ("host compiler", build["compiler"]),
        ("host", machine["cpu"]),
        ("compute-sanitizer", machine["sanitizer"]),
        ("sources", f"`{report['source_hash']}`"),
        ("the tool's tests", f"`{report['tool_tests_hash']}`"),
    ]
    return text + table(["", ""], facts)


def tests(report):
    total = totals(report["tests"])
    text = "\n## Tests\n\n"
    text += (
        f"{total['run']} tests: {total['passed']} passed, {total['failed']} failed, "
        f"{total['skipped']} skipped; {total['cuda_calls']} calls on the GPU.\n\n"
    )
    keys = ["program", "outcome", "run", "passed", "failed", "skipped", "cuda_calls", "seconds"]
    titles = [*keys[:6], "calls on cuda", "s"]
    text += table(titles, [[test.get(key) for key in keys] for test in report["tests"]])
    for test in report["tests"]:
        for failure in test.get("failures", []):
            text += f"\n{test['program']}: {failure['name']}\n\n"
            text += "".join(f"    {line}\n" for line in failure["message"].splitlines())
    return text


def sanitizers(report):
    text = "\n## compute-sanitizer\n\n"
    keys = ["tool", "program", "filter", "outcome", "errors", "tests", "cuda_calls", "seconds"]
    titles = [*keys[:6], "calls on cuda", "s", "errors in"]
    rows = []
    for run in report["sanitizers"]:
        row = [f"`{run[key]}`" if key == "filter" else run.get(key) for key in keys]
        rows.append([*row, ", ".join(run.get("kernels", []))])
    text += table(titles, rows)
    for run in report["sanitizers"]:
        if run.get("message"):
            text += f"\n{run['tool']} {run['program']}\n\n"
            text += "".join(f"    {line}\n" for line in run["message"].splitlines())
    return text


def limits(report):
    """The tools' own limits; nothing where there are no exceptions."""
    if not report["limits"]:
        return ""
    text = "\nMinimal programs (`tests/sanitizer_limits`) that are right and must be reported too, "
    text += "or the exceptions that name them fall:\n\n"
    keys = ["tool", "program", "outcome", "errors", "seconds"]
    rows = [[run.get(key) for key in keys] for run in report["limits"]]
    return text + table([*keys[:4], "s"], rows)


def benchmark_lines(results):
    """Per operation, dtype and shape, in their order: {determinism: result}."""
    lines = {}
    for result in results:
        key = tuple(result[name] for name in ("operation", "dtype", "rows", "columns"))
        lines.setdefault(key, {})[result["determinism"]] = result
    return lines


def micro(seconds):
    return f"{seconds * 1e6:.2f}"


def benchmark(report):
    bench = report["benchmark"]
    text = "\n## Benchmark\n\n"
    if bench.get("command"):
        text += f"    {bench['command']}\n\n"
    if bench["outcome"] != "passed":
        reason = bench.get("message", "")
        return text + bench["outcome"] + (f": {reason}" if reason else "") + "\n"
    output = bench["output"]
    text += (
        f"µs; {output['data']} logits, median of {output['repeats']}. Queued on a stream, each "
        "call on another input (cold) or all on one (warm), and in a CUDA graph (cold). The limit: "
        "a bare read of the logits, or a device copy of as many bytes as the call must move. "
        "Spread: the slowest divided by the fastest of normal, peaked, flat and 95 % masked "
        "logits, in a graph. "
        "Costs: what `cross_device` adds in a graph.\n\n"
    )
    titles = ["operation", "dtype", "shape", "cold", "warm", "in graph", "limit", "of it"]
    titles += ["spread", "`cross_device`", "costs"]
    rows = []
    for (operation, dtype, count, columns), line in benchmark_lines(output["results"]).items():
        if len(line) < 2:
            continue  # check_report.py complains
        own, cross = line["per-device"], line["cross-device"]["graph_seconds"]
        limit = ["", ""]
        if own["limit"] != "none":
            limit[0] = f"{own['limit']} {micro(own['limit_seconds'])}"
            limit[1] = f"{100 * own['fraction_of_limit']:.0f} %"
        rows.append(
            [operation, dtype, f"{count} × {columns}"]
            + [micro(own[f"{name}_seconds"]) for name in ("cold", "warm", "graph")]
            + [*limit, f"{own['spread']:.2f}"]
            + [micro(cross), f"{100 * (cross / own['graph_seconds'] - 1):+.0f} %"]
        )
    return text + table(titles, rows)


def render(report):
    return heading(report) + tests(report) + sanitizers(report) + limits(report) + benchmark(report)
