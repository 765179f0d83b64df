"""Progress bars in a process whose children are killed."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import pytest

KILLED = """
import multiprocessing, time
from tqdm import tqdm
from pnp._progress import Bar

tqdm.get_lock()  # as the first bar of a program makes it: the children share it
fork = multiprocessing.get_context("fork")
held = fork.Event()

def hold():
    with tqdm.get_lock():
        held.set()
        time.sleep(60)

child = fork.Process(target=hold)
child.start()
held.wait()
child.kill()
child.join()
print(sum(Bar(range(3), disable=True)), sum(Bar(range(4), leave=False)))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_killed_process_leaves_no_bar_waiting() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.split() == ["3", "6"]
