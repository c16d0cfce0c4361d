"""Files of other tools, turned into the tree of a topology file."""
