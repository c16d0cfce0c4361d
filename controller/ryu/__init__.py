"""Ryu applications, run unmodified on os-ken: ``python -m controller.ryu [OPTIONS] APP...``.

The process is the users' own: the lab's controller imports nothing of this package. The lab imports
``controller.ryu.reports``, which reads the lines that the launcher writes.
"""
