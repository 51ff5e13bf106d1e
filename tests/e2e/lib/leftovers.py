"""Servers that a failed fixture or bench did not stop end with the process that started them."""
import atexit
import subprocess

_started = []


def own(process):
    """Returns process (a Popen), which is ended at exit if it still runs then."""
    _started[:] = [p for p in _started if p.returncode is None]
    _started.append(process)
    return process


@atexit.register
def _end():
    for p in _started:
        if p.returncode is None and p.poll() is None:
            p.terminate()  # nginx and its workers: killed, the master would leave them
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
