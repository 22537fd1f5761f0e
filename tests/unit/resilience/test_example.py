import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent


def test_the_example_of_the_page_gets_its_calls_answered_and_finds_the_limit() -> None:
    run = subprocess.run(
        [sys.executable, "examples/resilience.py"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    found = re.fullmatch(r"(\d+) of 301 answered with (\d+) calls; limit (\d+), breaker closed\n", run.stdout)
    assert found, run.stdout
    answered, calls, limit = map(int, found.groups())
    assert 290 <= answered <= 301
    assert answered <= calls <= 301 + 200 + 31
    assert 3 <= limit <= 10  # the provider takes 8 at once
