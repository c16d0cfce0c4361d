"""Servers for backends: each tells its name, over bare TCP or HTTP: ``servers.py ADDRESS PORT NAME``."""

from __future__ import annotations

import socket
import sys
import threading


def serve(address: str, port: int, name: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=512) as server:
        print("listening", flush=True)
        while True:
            taken, _ = server.accept()
            threading.Thread(target=answer, args=(taken, name), daemon=True).start()


def answer(taken: socket.socket, name: str) -> None:
    """HTTP if it is asked in HTTP; else lines back with the name before."""
    try:
        with taken:
            while data := taken.recv(65536):
                if data.startswith((b"GET ", b"HEAD ")):
                    path = data.split(b" ", 2)[1]
                    status = b"503 No" if path == b"/sick" else b"200 OK"
                    body = name.encode() + b" " + path
                    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
                        status,
                        len(body),
                    )
                    taken.sendall(head + body)
                    return
                taken.sendall(name.encode() + b" " + data)
    except OSError:
        pass


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
