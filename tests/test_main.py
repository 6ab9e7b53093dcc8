"""The console script, before the command line is imported."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
class Interrupted:
    def find_spec(name, *_):
        if name == "pydantic":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupted)
sys.argv = ["slowfast-vos", "status"]
from slowfast_vos.__main__ import main
main()
"""


def test_ctrl_c_while_python_imports_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
