"""Every block of the README runs, and prints what it says it prints."""

import pathlib
import re
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((PACKAGE / "README.md").read_text())


def test_there_is_no_block_that_is_not_run():
    assert [language for language, _, _ in BLOCKS] == ["python"] * 6


@pytest.mark.parametrize(("code", "output"), [(code, output) for _, code, output in BLOCKS])
def test_a_block_of_the_readme_runs(address: str, code: str, output: str):
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"TIDINGS_URL": address, "PYTHONPATH": str(PACKAGE / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == output
