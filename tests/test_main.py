"""The console script, before the command line is imported."""

from __future__ import annotations

import signal
import subprocess
import sys

STARTED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # in the background it is ignored


def test_ctrl_c_while_python_imports_is_one_line() -> None:
    code = f"{STARTED}import sys; sys.argv = ['slowfast-vos', 'status']; from slowfast_vos.__main__ import main; main()"
    run = subprocess.Popen([sys.executable, "-X", "importtime", "-c", code], stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if line.split()[-1].startswith("pydantic"):  # which others follow
            break
    run.send_signal(signal.SIGINT)
    rest = run.stderr.read()
    assert run.wait(60) == 130, rest
    assert [line for line in rest.splitlines() if not line.startswith("import time:")] == ["interrupted"]
