"""A study of the default model and a little of its text, as a user makes it: once for all tests of a run.

Tests leave it as it is.
"""

import fcntl
import subprocess

import pytest

from tests.support.helpers import run_script

MAX_TOKENS = 16_384


class Made:
    """Where it is, what the script printed, and the cache that it used.

    Args:
        factory: of the test session.
    """

    def __init__(self, factory: pytest.TempPathFactory):
        # All processes of a run have folders of their own in one.
        base = factory.getbasetemp()
        root = base.parent if base.name.startswith("popen-") else base
        folder = root / "demo-study"
        self.path, self.cache = folder / "demo", folder / "cache"
        self.programs = self.cache / "programs"
        said = folder / "said.txt"
        folder.mkdir(exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not said.exists():
                done = self._make()
                assert done.returncode == 0, done.stderr
                said.write_text(done.stdout)
        self.said = said.read_text()

    def _make(self) -> subprocess.CompletedProcess[str]:
        flags = [f"--study={self.path}", f"--max_tokens={MAX_TOKENS}", "--timings"]
        # A variable, so that it starts as a user's does.
        compiled = f"--compilation_cache={self.programs}"
        return run_script(self.cache, "study", *flags, compiled, PYTHONHASHSEED="0")
