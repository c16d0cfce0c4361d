"""Run the controller: ``python -m controller --listen 127.0.0.1:6653 --topology FILE``.

It answers switches within 0.3 s of its start.  The import of the API's libraries takes as long again, so the
API starts after the switches are programmed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from topologies import extensions

if TYPE_CHECKING:
    from controller.runtime.app import SwitchKeeper
    from topologies.model.topology import Topology

_QUIET = 0.5
_MOST = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Exit status 2: an argument cannot be used."""
    options = _parser().parse_args(arguments)
    gc.disable()  # it would take a quarter of the time of importing, and find nothing to free
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # before any thread exists: all inherit it
    logging.basicConfig(level=logging.WARNING, format="controller: %(levelname)s: %(message)s")
    # A connection is a descriptor, and a lab may have thousands of switches.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        listener = _listener(options.listen_fd, options.listen)
        topology_text = options.topology.read_bytes()
        extensions.load(options.extension)
    except (OSError, ValueError, extensions.ExtensionError) as problem:
        print(f"controller: {problem}", file=sys.stderr)
        return 2

    from controller.runtime.app import SwitchKeeper
    from controller.runtime.journal import Journal
    from controller.runtime.osken import framework

    journal = Journal(options.event_fd)
    bad = threading.Event()

    def load() -> Topology:
        from topologies.model.topology import Topology

        try:
            return Topology.model_validate_json(topology_text)
        except ValueError as problem:
            print(f"controller: {options.topology}: {problem}", file=sys.stderr)
            bad.set()
            os.kill(os.getpid(), signal.SIGTERM)
            raise

    try:
        app = framework.run(
            listener,
            SwitchKeeper,
            options.app,
            load=load,
            number=options.intent,
            journal=journal,
            idle=options.learned_idle,
            state=options.state,
            shared=bool(options.app),
            proves=options.prove,
        )
    except ImportError as problem:
        print(f"controller: {problem}", file=sys.stderr)
        return 2
    if options.api:
        threading.Thread(target=_serve_api, args=(app, options.api), daemon=True).start()
    signal.sigwait(stops)
    listener.close()
    journal.close()
    if options.api:
        with contextlib.suppress(OSError):
            Path(options.api).unlink()
    sys.stderr.flush()
    # Other threads may still run, a compilation for instance; the kernel closes what is open.
    os._exit(2 if bad.is_set() else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m controller", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--listen-fd", type=int, metavar="N", help="an inherited TCP socket that listens for switches"
    )
    where.add_argument("--listen", metavar="HOST:PORT", help="the address at which to listen for switches")
    parser.add_argument(
        "--topology", required=True, type=Path, metavar="FILE", help="the intent: a resolved topology as JSON"
    )
    parser.add_argument("--api", metavar="PATH", help="the path of the northbound API's Unix socket")
    parser.add_argument(
        "--event-fd", type=int, default=1, metavar="N", help="the descriptor for events (default: 1)"
    )
    parser.add_argument(
        "--app", action="append", default=[], metavar="MODULE", help="a further os-ken app; can be repeated"
    )
    parser.add_argument("--extension", action="append", default=[], metavar="MODULE|FILE",
                        help="an extension to import; can be repeated")  # fmt: skip
    parser.add_argument("--learned-idle", type=float, default=300.0, metavar="SECONDS",
                        help="forget a learned station after this time without frames (300)")  # fmt: skip
    parser.add_argument("--intent", type=int, default=0, metavar="N",
                        help="the intent's number, for the event all-programmed (default: 0)")  # fmt: skip
    parser.add_argument("--prove", action="store_true",
                        help="prove by computation that all pairs of hosts reach each other")  # fmt: skip
    parser.add_argument("--state", type=Path, metavar="FILE",
                        help="the file that keeps learned stations across restarts")  # fmt: skip
    return parser


def _listener(fd: int | None, address: str | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    host, _, port = (address or "").rpartition(":")
    if not port.isdigit():
        raise ValueError(f"--listen {address}: HOST:PORT is needed")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=4096)


def _serve_api(app: SwitchKeeper, path: str) -> None:
    app.compiled.wait()
    started = time.monotonic()
    # Importing takes as long as programming a lab, so it waits until that is done.
    while not app.ready.wait(_QUIET) and time.monotonic() - started < _MOST:
        if not app.busy and time.monotonic() - app.active_at > _QUIET:
            break
    from controller.api.app import serve

    serve(app, path)


if __name__ == "__main__":
    raise SystemExit(main())
