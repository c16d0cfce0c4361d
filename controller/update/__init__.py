"""From the tables that switches hold to those that they should hold."""
