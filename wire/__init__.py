"""What is on the wire: the protocols' numbers, addresses, checksums and packets, as octets.

It uses the standard library only, and is below all other packages.  Many processes of functions import it at
the same time, so nothing here imports more than it needs (not even ``typing``).
"""
