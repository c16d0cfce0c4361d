"""Counts the header lines of HTTP requests by name, and prints the counts: `sdnlab events` shows them.

With `packets: scapy` in the topology file, process(packet) gets a Scapy packet instead of bytes.
"""

from collections import Counter

from scapy.layers.inet import TCP

names = Counter()


def process(packet):
    if TCP in packet:
        payload = bytes(packet[TCP].payload)
        method, _, rest = payload.partition(b" ")
        if method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE") and b" HTTP/1." in rest:
            head = rest.partition(b"\r\n\r\n")[0].decode("latin-1")
            for line in head.split("\r\n")[1:]:
                names[line.partition(":")[0].lower()] += 1
            print(dict(names), flush=True)
    return packet
