"""Waits for one TCP connection, prints what it receives and sends what is typed: the attacker's side.

usage: python3 listen.py PORT
"""

import select
import socket
import sys


def main() -> None:
    """Copy both ways until the peer closes the connection."""
    with socket.create_server(("", int(sys.argv[1]))) as server:
        print("listening", flush=True)
        peer, (address, port, *_) = server.accept()
        print(f"{address}:{port} has come", flush=True)
        with peer:
            typed = True
            while True:
                for ready in select.select([peer, *([sys.stdin] if typed else [])], [], [])[0]:
                    if ready is peer:
                        data = peer.recv(65536)
                        if not data:
                            return
                        print(data.decode(errors="replace"), end="", flush=True)
                    elif line := sys.stdin.readline():
                        peer.sendall(line.encode())
                    else:
                        typed = False
                        peer.shutdown(socket.SHUT_WR)  # a shell at the other end ends


main()
