"""The nftables engine of a firewall: a transparent bridge whose IP packets pass netfilter.

``match`` and ``ruleset`` compute the rule set (pure); ``process`` loads it, and reports its counters.
"""
