"""Patches between the layers of an app's releases: made by the cloud, so that devices move only what changed."""
