"""The lab's HTTP API, which the command line and other front ends use."""
