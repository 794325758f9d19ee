# SPDX-License-Identifier: Apache-2.0
"""logsum compare's verdict, rule by rule, and its page: whole, alone, escaped."""

import html.parser
import os
import random
import re
import xml.etree.ElementTree

import arrays
from compare_cases import B, T, CompareTest

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Refuses tags that aren't closed in order, and anything that would be loaded or run."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.seen = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base"), tag
        for name, value in attrs:
            assert name not in ("href", "src", "srcset", "style") and not name.startswith("on")
            assert value is None or "://" not in value
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


class HtmlTest(CompareTest):
    def page(self, *args, code=0, files=None):
        args = ["compare", *(files or self.files()), "--html", "o.html", *args]
        self.assertEqual(self.run_tool(*args).returncode, code)
        text = (self.dir / "o.html").read_text("utf-8")
        charts = [
            xml.etree.ElementTree.fromstring(s) for s in re.findall(r"<svg.*?</svg>", text, re.S)
        ]
        self.assertEqual(len(charts), 3)
        return text, Page(text), charts

    def paths(self, chart, kind):
        return [p.get("d") for p in chart.iter("path") if p.get("class").split()[0] == kind]

    def test_whole_and_alone(self):
        text, page, charts = self.page()
        self.assertTrue(text.startswith("<!DOCTYPE html>\n"))
        self.assertTrue(text.endswith("</html>\n"))
        for word in ("http", "url(", "@import", "javascript"):
            self.assertNotIn(word, text)
        self.assertIn("prefers-color-scheme:dark", text)
        self.assertIn('name="viewport"', text)
        for chart in charts:
            box = [float(x) for x in chart.get("viewBox").split()]
            self.assertTrue(chart.get("aria-label"))
            titles = [t.text for t in chart.iter("text") if t.get("class") == "title"]
            self.assertEqual(len(titles), 2)
            self.assertGreaterEqual(sum(t.get("class") == "tick" for t in chart.iter("text")), 5)
            for shape in chart.iter("path"):
                for x, y in re.findall(r"[ML](-?[0-9.]+) (-?[0-9.]+)", shape.get("d")):
                    self.assertTrue(0 <= float(x) <= box[2] and 0 <= float(y) <= box[3])
        self.assertEqual(page.seen.count("table"), 6)

    def test_the_same_numbers_as_in_the_terminal(self):
        text = self.ok("compare", *self.files(), "--worst", 7)
        _, page, _ = self.page("--worst", 7)
        table = text[text.index("Worst tokens") :].splitlines()[2:]
        self.assertEqual(len(table), 7)
        for line in table:
            for cell in line.split():
                self.assertIn(cell, page.cells)
        for line in text[: text.index("Quantiles")].splitlines():
            if "  " in line.strip() and "verdict" not in line and "wrote" not in line:
                self.assertIn(re.split(r" {2,}", line.strip())[1], page.cells)

    def test_same_bytes_again_and_replaced_whole(self):
        first = self.page()[0]
        self.write("o.html", b"old")
        self.assertEqual(self.page("--threads", 1)[0], first)
        self.assertNotEqual(self.page("--epsilon", "0.1")[0], first)
        self.assertEqual(sorted(os.listdir(self.dir)), ["o.html", "r.npy", "t.npy"])
        self.assertIn("wrote o.html", self.ok("compare", *self.files(), "--html", "o.html"))

    def test_names_are_escaped(self):
        name = "<script>alert('x')&\"\n\x1b[31m"
        path = self.write(
            "a&<b>.safetensors", arrays.safetensors({name: ("F32", self.a), "b": ("F32", self.b)})
        )
        args = [path, path, "--rollout-name", name, "--trainer-name", "b"]
        text, page, _ = self.page(files=args)
        self.assertNotIn("<script", text)
        self.assertNotIn("\x1b", text)
        self.assertTrue(any("a&<b>.safetensors:<script>" in cell for cell in page.cells))

    def test_points_are_thinned_and_the_worst_kept(self):
        chart = self.page()[2][0]
        self.assertEqual(self.paths(chart, "points")[0].count("M"), B * T)
        self.assertEqual(self.paths(chart, "density"), [])
        source = random.Random(5)
        many = [-source.expovariate(1.0) for _ in range(20000)]
        other = list(many)
        other[12345] -= 9
        files = [self.write(n, arrays.npy("F32", m)) for n, m in (("m", many), ("n", other))]
        text, _, (chart, histogram, _) = self.page(files=files)
        self.assertLessEqual(self.paths(chart, "points")[0].count("M"), 2000)
        self.assertGreater(len(self.paths(chart, "density")), 1)
        self.assertIn("12345: rollout", [t.text for t in chart.iter("title")][0])
        self.assertEqual(sum(1 for _ in chart.iter("circle")), 1)
        self.assertLess(len(text), 200_000)
        self.assertEqual(len(self.paths(histogram, "bars")), 1)

    def test_histogram_marks_the_bands(self):
        def marks(*args):
            chart = self.page(*args)[2][1]
            return [t.text for t in chart.iter("text") if t.get("class") == "mark"]

        self.assertEqual(marks(), ["1 \u2212 0.2", "1 + 0.2"])
        self.assertEqual(
            marks("--epsilon", "0.1", "--epsilon", "0.1,0.3"),
            ["1 \u2212 0.1", "1 + 0.1", "1 + 0.3"],
        )

    def test_odd_data(self):
        self.b = self.a
        self.page()
        self.a = self.b = [[-1.0]]
        self.page()
        self.a, self.b = [[-3e38, 0.0]], [[0.0, -3e38]]
        self.page()
        self.a, self.b = [[-1e-30, -1e-30]], [[-2e-30, -1e-30]]
        self.page()


class Verdict(CompareTest):
    def verdict(self, *args, **files):
        out = self.compare(*args, **files)["verdict"]
        rules = [r["rule"] for r in out["reasons"]]
        self.assertEqual(out["text"].count("; "), len(rules))
        self.assertIn(
            out["text"].split()[0], " ".join(self.ok("compare", *self.files(**files)).split())
        )
        return out["kind"], rules

    def noise(self, spread):
        """trainer = rollout + noise that depends on the place, well below 0."""
        self.a = [[x - 8 for x in row] for row in self.a]
        source = random.Random(9)
        self.b = [
            [x + source.gauss(0, 1) * spread(i, j) for j, x in enumerate(row)]
            for i, row in enumerate(self.a)
        ]

    def test_identical(self):
        self.b = self.a
        self.assertEqual(self.verdict(), ("identical", []))

    def test_rounding(self):
        self.b = self.a
        for dtype in ("BF16", "F16"):
            kind, rules = self.verdict(dtype=dtype, b_dtype="F32")
            self.assertEqual((kind, rules), ("rounding", []))
            text = self.ok("compare", *self.files(dtype, "F32"))
            self.assertIn(f"within half a {dtype.lower()} step", " ".join(text.split()))
        self.noise(lambda i, j: 5e-7)
        self.assertEqual(self.verdict(dtype="F32")[0], "rounding")
        # One token that isn't: no longer all of it.
        self.b = [list(row) for row in self.a]
        self.b[4][4] -= 0.5
        kind, rules = self.verdict(dtype="BF16", b_dtype="F32")
        self.assertEqual(kind, "mismatch")
        self.assertIn("mostly_rounding", rules)

    def test_small_and_not(self):
        self.noise(lambda i, j: 0.02)
        self.assertEqual(self.verdict(), ("small mismatch", []))
        self.assertEqual(self.verdict("--epsilon", "0.01"), ("mismatch", []))
        self.noise(lambda i, j: 0.3)
        self.assertEqual(self.verdict(), ("mismatch", []))

    def test_trend(self):
        self.noise(lambda i, j: 0.01 + 0.002 * j)
        self.assertEqual(self.verdict()[1], ["grows"])
        self.noise(lambda i, j: 0.01 + 0.002 * (T - j))
        self.assertEqual(self.verdict()[1], ["falls"])

    def test_few_sequences(self):
        self.noise(lambda i, j: 0.3 if i == 5 else 0.01)
        kind, rules = self.verdict()
        self.assertEqual(rules, ["few_sequences"])
        self.assertIn("(5 above all)", self.compare()["verdict"]["text"])

    def test_few_tokens(self):
        self.a = [row * 3 for row in self.a]  # from 1000 on
        self.noise(lambda i, j: 2 if (i * 40 * 3 + j) % 131 == 0 else 0.002)
        self.assertIn("few_tokens", self.verdict()[1])

    def test_one_sided(self):
        self.b = [[x - 0.1 for x in row] for row in self.a]
        self.assertEqual(self.verdict()[1], ["one_sided"])
        self.assertIn("trainer's log-probs are lower", self.compare()["verdict"]["text"])

    def test_shifted(self):
        self.b = [[-1.0] + row[:-1] for row in self.a]
        self.assertIn("shifted", self.verdict()[1])
        self.assertIn("trainer t + 1", self.compare()["verdict"]["text"])
        self.b = [row[1:] + [-1.0] for row in self.a]
        self.assertIn("trainer t - 1", self.compare()["verdict"]["text"])

    def test_above_zero(self):
        self.b = [[x if i or j else 0.5 for j, x in enumerate(row)] for i, row in enumerate(self.a)]
        self.assertIn("above_zero", self.verdict()[1])
