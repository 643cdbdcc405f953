"""Apps and a demonstration to try Skerry with."""
