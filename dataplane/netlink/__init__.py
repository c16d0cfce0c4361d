"""Route netlink: the messages that a lab needs."""
