"""Samples: from apps into a durable, numbered buffer, and from there to the cloud until it has them."""
