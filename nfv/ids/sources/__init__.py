"""Where frames come from: capture files, devices."""
