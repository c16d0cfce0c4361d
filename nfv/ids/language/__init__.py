"""Suricata's rule language: from a file's text to rules, or to the reasons why not (user guide, "Suricata
Rules").
"""

from nfv.ids.language.load import Loaded, Refused, load_text
from nfv.ids.language.rule import Rule

__all__ = ["Loaded", "Refused", "Rule", "load_text"]
