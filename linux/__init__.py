"""What Linux offers, and Python has no function for: system calls, netlink.

It uses the standard library only, and is below all other packages, beside ``wire``.
"""
