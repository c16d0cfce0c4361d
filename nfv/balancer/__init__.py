"""The HAProxy engine of a load balancer: its configuration (pure), and the process around HAProxy."""
