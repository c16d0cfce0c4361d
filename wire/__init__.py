"""What is on the wire: numbers, addresses, checksums and packets of the protocols, as octets.

The ground floor: standard library only, below all other packages.  Functions' processes import it, tens of
them at once, so nothing here imports more than it needs (not even ``typing``).
"""
