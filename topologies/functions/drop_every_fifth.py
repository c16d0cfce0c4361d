"""Loses every fifth packet, always the same one: a bad line that an exercise can count on."""

seen = 0


def process(packet):
    global seen
    seen += 1
    return None if seen % 5 == 0 else packet
