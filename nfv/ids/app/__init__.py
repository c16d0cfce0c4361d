"""Application protocols: detection (``probe``), and a parser for each supported protocol."""
