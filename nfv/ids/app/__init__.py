"""Application protocols: who speaks what (``detect``), and a parser for each that is spoken here."""
