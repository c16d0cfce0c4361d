"""Files of other tools -> the tree of a topology file."""
