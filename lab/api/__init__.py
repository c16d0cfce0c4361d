"""The lab's own HTTP API: what every front end, the command line first, talks to."""
