"""The HAProxy engine of a load balancer: its configuration, decided purely, and the process around it."""
