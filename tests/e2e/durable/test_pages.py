"""The store's pages: those of removed runs are used again, and readers that die do not keep them."""
import os
import re
import signal
import subprocess
import threading
import time

from core import Core, binary
from evidence import well
from test_retention import set_keep, total, until

TEXT = os.urandom(3000).hex()  # 6 KB that do not compress


def fill(core, n, clients=4):
    def work():
        c = core.connection()
        for _ in range(n // clients):
            core.post("/v1/runs", {"graph_id": "run:three", "params": {"text": TEXT}},
                      headers={"Prefer": "wait=20"}, connection=c)
        c.close()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    [t.start() for t in threads]
    [t.join() for t in threads]


def length(core):
    return (core.state_dir / "store.mdb").stat().st_size


def metric(core, name):
    return int(re.search(rf"^{name} (\d+)$", core.get("/metrics").text, re.M)[1])


def test_a_dead_reader_is_cleared_and_its_pages_are_used_again(tmp_path, graphs):
    """A snapshot that is held keeps every page that is freed after it; kill -9 must not."""
    with Core(tmp_path / "core", graphs=[graphs], allow_side_effects=True) as core:
        fill(core, 800)
        # a reader that stands still in the midst of its snapshot
        reader = subprocess.Popen([binary(), "store", "check", "--state-dir", core.state_dir],
                                  stdout=subprocess.DEVNULL)
        holds = ["mdb_stat", "-n", "-r", str(core.state_dir / "store.mdb")]

        def snapshot():
            out = subprocess.run(holds, capture_output=True, text=True).stdout
            return re.search(rf"^ *{reader.pid} +\w+ +\d+$", out, re.M)

        until(snapshot)
        reader.send_signal(signal.SIGSTOP)
        set_keep(core, runs=10)
        until(lambda: total(core) == 10)
        time.sleep(1)
        begin = length(core)
        fill(core, 400)
        grown = length(core) - begin
        assert grown > 3 << 20, "nothing freed is used while somebody may still read it"
        reader.kill()
        reader.wait()
        until(lambda: metric(core, "stargraph_store_readers_cleared_total") == 1, 30)
        until(lambda: total(core) == 10)
        begin = length(core)
        fill(core, 400)
        assert length(core) - begin < grown / 4
    well(core)
