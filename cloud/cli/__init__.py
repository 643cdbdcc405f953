"""The command `skerry`: it speaks HTTP to the cloud and imports nothing else of it."""
