"""Starts a command, and starts it again whenever it has ended: what any supervisor does."""

import contextlib
import signal
import subprocess
import sys
import time

child = None


def stop(_number, _frame):
    if child is not None:
        child.kill()
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
while True:
    child = subprocess.Popen(sys.argv[1:])
    with contextlib.suppress(KeyboardInterrupt):
        child.wait()
    time.sleep(0.05)
