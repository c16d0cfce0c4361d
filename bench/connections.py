"""TCP connections: ``connections.py serve PORT``, ``connections.py open TARGET PORT SECONDS|#COUNT``.

``serve`` sends its host's name and closes; ``open`` counts, over so many seconds (or, with ``#`` before the
number, for so many connections), how many were opened and answered, and by whom; prints JSON.
"""

from __future__ import annotations

import collections
import json
import selectors
import socket
import sys
import time

ABREAST = 16


def serve(port: int) -> None:
    """Answer for ever."""
    name = socket.gethostname().encode()
    with socket.create_server(("0.0.0.0", port), backlog=4096) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(name)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    continue


def openings(target: str, port: int, seconds: float, most: int) -> dict[str, object]:
    """Keep ``ABREAST`` connections on their way until the time is over or there were ``most``."""
    answered: collections.Counter[str] = collections.Counter()
    failed = begun = 0
    begin = time.monotonic()
    with selectors.DefaultSelector() as selector:

        def start() -> None:
            nonlocal begun
            begun += 1
            sock = socket.socket()
            sock.setblocking(False)
            # closed by the peer first: no port of ours is kept waiting
            sock.connect_ex((target, port))
            selector.register(sock, selectors.EVENT_READ, (begun, b""))

        def going() -> bool:
            return time.monotonic() - begin < seconds and begun < most

        for _ in range(min(ABREAST, most)):
            start()
        while selector.get_map():
            ready = selector.select(0.5)
            if not ready and not going():
                failed += len(selector.get_map())
                break
            for key, _ in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                number, so_far = key.data
                try:
                    data = sock.recv(256)
                except OSError:
                    data = b""
                if data:
                    selector.modify(sock, selectors.EVENT_READ, (number, so_far + data))
                    continue
                selector.unregister(sock)
                sock.close()
                if so_far:
                    answered[so_far.decode()] += 1
                else:
                    failed += 1
                if going():
                    start()
    took = time.monotonic() - begin
    return {"answered": dict(answered), "failed": failed, "seconds": took}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    amount = sys.argv[4]
    counted = int(amount[1:]) if amount.startswith("#") else sys.maxsize
    limit = 60.0 if amount.startswith("#") else float(amount)
    print(json.dumps(openings(sys.argv[2], int(sys.argv[3]), limit, counted)))
