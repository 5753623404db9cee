"""Worker processes do not outlive the process that they work for, and do not run its script again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from made_images import write_images

SCRIPT = """
import os, sys, time
from longcut.data.pool import map_items

def work(item):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(30)

if __name__ == "__main__":
    list(map_items(work, range(64), workers=2))
"""

UNGUARDED = """
import sys
from pathlib import Path

print("begun")

from longcut.data.pool import map_items
from longcut.engine.settings import resolve
from longcut.recipes.inputs import Inputs
from longcut.recipes.training import train_run

print(sum(map_items(abs, range(-8, 0), workers=2)))
few = {"backbone.name": "convnet5", "image_size": 32, "steps": 1, "batch_size": 6, "workers": 1, "cache": "memory"}
train_run(resolve("base_small", few), Inputs(Path("photos")), Path("run"))
print(Path(__file__).name, len(Path("run/log.jsonl").read_text().splitlines()))
"""


def test_workers_do_not_run_a_script_again(tmp_path: Path) -> None:
    """It has no `if __name__ == "__main__"`: neither a pool's nor a training run's processes import it."""
    write_images(tmp_path / "photos", count=2)
    (tmp_path / "script.py").write_text(UNGUARDED)
    ended = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["begun", "36", "script.py 1"]


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = tmp_path / "pids"
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, tmp_path / "script.py", folder], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(folder.iterdir())) == 2, 60)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(is_running(int(file.name)) for file in folder.iterdir()), 10)


def is_running(process: int) -> bool:
    """Whether it is there and no zombie; it may end at any moment, also between the two questions."""
    try:
        os.kill(process, 0)
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[1] if os.path.isdir("/proc") else True
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.05)
