"""A lab as a picture: described for Graphviz, and drawn by it."""
