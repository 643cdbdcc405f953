"""The written forms of Compose values (ports, mounts, durations ..) and their one canonical form each."""
