"""The nftables engine of a firewall: a transparent bridge whose IP packets pass netfilter.

``match`` and ``ruleset`` decide purely what is loaded; ``process`` loads it, and tells what it counts.
"""
