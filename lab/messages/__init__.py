"""What a lab's HTTP API says and takes, typed."""
