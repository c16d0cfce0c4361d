"""What Linux offers and Python has no function for: system calls, netlink.

The ground floor, beside ``wire``: standard library only, below all other packages.
"""
