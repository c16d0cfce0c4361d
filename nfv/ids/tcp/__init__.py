"""TCP connections and their streams, from the view of an observer between the hosts."""
