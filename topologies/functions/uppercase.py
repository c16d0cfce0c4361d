"""Writes the text in UDP packets in capitals; changes nothing else.

process(packet) gets one Ethernet frame, as bytes, and returns what is sent on: a frame, a list of frames, or
None for none.
"""


def process(packet):
    ethernet, ip, udp = 14, 20, 8
    # IPv4 (0x0800) without options (version 4, 5 words), UDP (17)
    if packet[12:14] != b"\x08\x00" or packet[14] != 0x45 or packet[23] != 17:
        return packet
    text = ethernet + ip + udp
    length = int.from_bytes(packet[38:40], "big") - udp
    changed = bytearray(packet)
    changed[text : text + length] = packet[text : text + length].upper()
    changed[40:42] = b"\x00\x00"  # no checksum: over IPv4, UDP does not need one (RFC 768)
    return bytes(changed)
