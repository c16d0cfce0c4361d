"""``ryu.app.gui_topology``: the topology in a browser."""
