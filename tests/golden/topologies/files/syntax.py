import os

def process(packet:
    return packet
