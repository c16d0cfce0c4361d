"""The process around dnsmasq: starts it, gives it changed leases and names, and reports its counters."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from nfv import devices
from nfv.lines import HOST, say
from nfv.process import Failed, Loop, command, content, fail, missing, running

CONFIGURATION, LOG = "dnsmasq.conf", "dnsmasq.log"
STARTED = "started, version"
START_SECONDS = 10.0


class Dnsmasq:
    """The running dnsmasq."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = ""

    def start(self) -> None:
        """Start it; raises ``Failed``."""
        here = os.getcwd()  # noqa: PTH109 (dnsmasq leaves it)
        files = (
            f"--addn-hosts={here}/names",
            f"--dhcp-hostsfile={here}/leases",
            f"--dhcp-leasefile={here}/given",
        )
        command(("dnsmasq", "--test", f"--conf-file={CONFIGURATION}", *files), "dnsmasq-base")
        self._configuration = content(CONFIGURATION)
        # It must not outlive this process, however that ends. As a daemon it would leave its groups, which an
        # ordinary user's namespace does not allow (user_namespaces(7), setgroups).
        program = ("dnsmasq", "--no-daemon", f"--conf-file={CONFIGURATION}", *files)
        argv = ("setpriv", "--pdeathsig", "KILL", *program)
        try:
            with open(LOG, "wb") as log:  # noqa: PTH123
                self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except FileNotFoundError:
            raise Failed(missing("setpriv", "util-linux")) from None
        deadline = time.monotonic() + START_SECONDS
        while STARTED not in content(LOG):
            if self._process.poll() is not None:
                raise Failed(f"dnsmasq ended at once: {self._last_words()}")
            if time.monotonic() > deadline:
                self.end()
                raise Failed(f"dnsmasq did not start within {START_SECONDS:.0f} s")
            time.sleep(0.01)

    def replace(self) -> None:
        """Read changed leases and names anew; with another configuration start anew, which loses no lease."""
        assert self._process is not None
        if content(CONFIGURATION) == self._configuration:
            os.kill(self._process.pid, signal.SIGHUP)
            running()
            return
        self.end()
        try:
            self.start()
        except Failed as reason:
            fail(reason)
        running()

    def look(self) -> None:
        """Report the counters; fail if dnsmasq has ended."""
        assert self._process is not None
        if self._process.poll() is not None:
            fail(f"dnsmasq ended with status {self._process.returncode}: {self._last_words()}")
        with contextlib.suppress(OSError):
            say("counters", **devices.counters((HOST,)))

    def end(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @staticmethod
    def _last_words() -> str:
        lines = content(LOG).splitlines()
        return lines[-1] if lines else "it said nothing"


def main() -> None:
    """Run until the standard input ends."""
    dnsmasq = Dnsmasq()
    try:
        dnsmasq.start()
    except Failed as reason:
        fail(reason)
    running()
    loop = Loop()
    loop.every(1.0, dnsmasq.look)
    try:
        loop.run(dnsmasq.replace)
    finally:
        dnsmasq.end()
