"""What scenarios are told with: real servers on free ports, each in a folder of its own, stopped again."""
