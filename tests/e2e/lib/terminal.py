"""What a program draws on a terminal."""
import os
import pty
import subprocess
import termios


def on_terminal(args, *streams, **how):
    """Runs args with these of its streams ("stdin", "stdout", "stderr") on a terminal that passes bytes
    on as they are. The bytes that it showed; the program must end well."""
    ours, its = pty.openpty()
    settings = termios.tcgetattr(its)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(its, termios.TCSANOW, settings)
    p = subprocess.Popen([str(a) for a in args], **{s: its for s in streams}, **how)
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert p.wait() == 0, shown
    return shown
