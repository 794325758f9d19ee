# SPDX-License-Identifier: Apache-2.0
"""The hash of the sources: which files count, and of what in them it depends."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

import source_hash


class SourceHash(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "src").mkdir()
        self.file = self.root / "src/a.cpp"
        self.file.write_bytes(b"int a;\nint b;\n")
        self.before = source_hash.source_hash(self.root)

    def after(self):
        return source_hash.source_hash(self.root)

    def test_the_tools_tests_have_their_own(self):
        tool_tests = source_hash.tool_tests_hash(self.root)
        (self.root / "tests/cli").mkdir(parents=True)
        (self.root / "tests/cli/a_cases.py").write_text("pass\n")
        self.assertEqual(self.after(), self.before)
        self.assertNotEqual(source_hash.tool_tests_hash(self.root), tool_tests)

    def test_line_ends(self):
        self.file.write_bytes(b"int a;\r\nint b;\r\n")
        self.assertEqual(self.after(), self.before)

    def test_line_ends_of_data_count(self):
        data = self.root / "examples/data/x"
        data.parent.mkdir(parents=True)
        data.write_bytes(b"\0\n")
        before = self.after()
        data.write_bytes(b"\0\r\n")
        self.assertNotEqual(self.after(), before)

    def test_content(self):
        self.file.write_bytes(b"int a;\nint c;\n")
        self.assertNotEqual(self.after(), self.before)

    def test_comments(self):
        for text in (
            b"int a;  // one\nint b;\n",
            b"// two\n\n  // it's \"three\nint a;\n/* four\n * five */\nint b;\n",
        ):
            self.file.write_bytes(text)
            self.assertEqual(self.after(), self.before, text)

    def test_what_only_looks_like_a_comment(self):
        hashes = set()
        for text in (
            b'auto a = "b // c";\n',
            b'auto a = "b // d";\n',
            b'auto a = "b";\n',
            b'auto a = "b /* \\" c */";\n',
            b"auto a = '\"', b = 1;  // \"\n",
            b"auto a = '\"', b = 2;  // \"\n",
            b"auto a = 1'000 / 2;\n",
            b"auto a = 1'000 / 3;\n",
            b"#define A \\\n  1\n",
            b"#define A \\\n  2\n",
            b"a / *b; /* c */\n",
            b"a / *b;\nc;\n",
            b'auto a = R"(b " // c)";\n',
            b'auto a = R"(b " // d)";\n',
            b'auto a = R"d(b)" // c)d";\n',
            b'auto a = R"d(b)" // d)d";\n',
            b'auto a = R"(b\n\n  c)";\n',
            b'auto a = R"(b\n  c)";\n',
        ):
            self.file.write_bytes(text)
            hashes.add(self.after())
        self.assertEqual(len(hashes), 18)

    def test_name(self):
        self.file.rename(self.root / "src/b.cpp")
        self.assertNotEqual(self.after(), self.before)

    def test_bytes_do_not_move_between_files(self):
        (self.root / "src/b.cpp").write_bytes(b"")
        before = self.after()
        self.file.write_bytes(b"int a;\n")
        (self.root / "src/b.cpp").write_bytes(b"int b;\n")
        self.assertNotEqual(self.after(), before)

    def test_every_file_of_the_repository_that_is_compiled_counts(self):
        folders = ["include", "src", "io", "cli", "tests/support", "tests/*_test.cpp"]
        try:
            names = subprocess.run(
                ["git", "ls-files", *folders],
                cwd=source_hash.ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no git repository")
        names = [name for name in names if (source_hash.ROOT / name).exists()]
        self.assertEqual(set(names) - set(source_hash.files(source_hash.ROOT)), set())
