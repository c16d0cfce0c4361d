"""What Ryu has and os-ken dropped, by the place that it has in Ryu. ``controller.ryu.names`` loads it."""
