"""Sources of frames: capture files, devices."""
