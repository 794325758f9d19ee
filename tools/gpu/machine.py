# SPDX-License-Identifier: Apache-2.0
"""The machine that a report comes from. Only asks: no setting is changed."""

import platform
import subprocess

FIELDS = {"device": "name", "compute_capability": "compute_cap", "driver": "driver_version"}


def _ask(command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    if result.returncode != 0:
        return None, (result.stderr or result.stdout).strip()
    return result.stdout.strip(), ""


def gpu():
    """(facts, why there are none)"""
    query = f"--query-gpu={','.join(FIELDS.values())}"
    text, why = _ask(["nvidia-smi", "--id=0", query, "--format=csv,noheader"])
    if text is None:
        return dict.fromkeys(FIELDS, "none"), why
    values = [value.strip() for value in text.splitlines()[0].split(",")]
    return dict(zip(FIELDS, values)), ""


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{len(names)} × {names[0]}" if names else platform.machine()


def sanitizer_version(tool_path):
    text, why = _ask([tool_path, "--version"])
    lines = [line for line in (text or "").splitlines() if line.startswith("Version")]
    return lines[0].split()[1] if lines else why or "unknown"
