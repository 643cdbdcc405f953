"""The main job, live, on real parts: `./run demo`."""
