"""What devices send: taken from the broker, checked, stored, answered by sync."""
