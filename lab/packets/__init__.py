"""Packets that users describe as scapy expressions: read without evaluating them, and built."""
