#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the documentation shows what the software does.

- Every ```console block of docs/ and README.md is commands ("$ …") followed by what they print:
  they are run and compared to the letter. `--update` writes what they printed instead.
- Every ```cpp block behind a comment that names an example is that example's readme section.
- docs/images/demo.svg is the demo's output.

    tools/check_docs.py build/release/cli [--update]
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEMO = "logsum demo examples/data/demo_logits.safetensors"
BLOCK = re.compile(r"```console\n(.*?)```", re.S)
EXAMPLE = re.compile(r"<!-- (examples/\S+\.cpp)[^>]*-->\n```cpp\n(.*?)```", re.S)


def run(command, environment):
    result = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    text = result.stdout.rstrip("\n")
    return text + "\n" if text else ""


def rerun(block, environment):
    """A console block with its commands' output as it is now."""
    out = []
    for line in block.splitlines():
        if line.startswith("$ "):
            out.append(line + "\n" + run(line[2:], environment))
    return "".join(out)


def main():
    update = "--update" in sys.argv[2:]
    environment = dict(
        os.environ,
        PATH=f"{pathlib.Path(sys.argv[1]).resolve()}:{os.environ['PATH']}",
        NO_COLOR="1",
        COLUMNS="120",
    )
    problems = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda m: "```console\n" + rerun(m.group(1), environment) + "```", text)
        if new != text and update:
            path.write_text(new, encoding="utf-8")
        elif new != text:
            shown, real = text.splitlines(), new.splitlines()
            first = next(
                (i for i, (a, b) in enumerate(zip(shown, real)) if a != b),
                min(len(shown), len(real)),
            )
            problems.append(
                f"{path.relative_to(ROOT)}:{first + 1}: shows\n  {shown[first:first + 1]}\n"
                f"but the command prints\n  {real[first:first + 1]}"
            )
        for name, code in EXAMPLE.findall(text):
            source = (ROOT / name).read_text(encoding="utf-8")
            section = re.search(
                r"// example-begin readme\n(.*?) *// example-end readme", source, re.S
            ).group(1)
            if section != code:
                problems.append(
                    f"{path.relative_to(ROOT)}: the code isn't the readme section of {name}"
                )
    picture = ROOT / "docs/images/demo.svg"
    drawn = subprocess.run(
        [sys.executable, ROOT / "tools/render_terminal.py", "./demo"],
        input=run(DEMO, environment),
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    if update:
        picture.write_text(drawn, encoding="utf-8")
    elif not picture.exists() or picture.read_text(encoding="utf-8") != drawn:
        problems.append(
            "docs/images/demo.svg isn't the demo's output: tools/check_docs.py --update draws it"
        )
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"check_docs: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
