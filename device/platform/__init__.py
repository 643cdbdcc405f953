"""What apps may ask of the device beside containers: an update lock, a Redis of their own, a display."""
