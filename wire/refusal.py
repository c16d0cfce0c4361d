"""The answer to the sender of a refused packet: a TCP reset, or ICMP's "administratively prohibited".

Its source is the packet's destination (MAC and IP address), and it leaves where the packet came in.  So the
sender's connection tracking can assign it to the connection, and a firewall needs no address.
"""

from __future__ import annotations

from wire import ethertype, icmp, tcp
from wire.ip import read
from wire.protocol import TCP


def refusal(header: bytes, data: bytes) -> bytes | None:
    """The frame to send back for the IP packet ``data`` (or its beginning) behind the Ethernet ``header``.

    None where no answer is allowed (RFC 9293, 3.5.2; RFC 1122, 3.2.2; RFC 4443, 2.4 e): to a reset, an error
    message, a later fragment, or a packet that is not from one host to one host; or where it is no IP packet.
    """
    packet = read(data)
    if packet is None or len(header) < 14 or header[0] & 1 or not icmp.may_be_told(packet):
        return None
    if packet.protocol == TCP:
        segment = tcp.reset(packet.body, packet.length)
        if segment is None:
            return None
        answer = tcp.in_ip(packet.destination, packet.source, segment)
    else:
        kind = icmp.PROHIBITED if packet.version == 4 else icmp.PROHIBITED6
        quoted = data[: packet.at + packet.length]
        answer = icmp.error(kind, packet.destination, packet.source, quoted)
    return header[6:12] + header[:6] + ethertype.octets(ethertype.OF_VERSION[packet.version]) + answer
