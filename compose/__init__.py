"""Compose project files: read, made canonical, checked, and turned into AppSpecs and published images."""
