"""Images: fetched over a link that comes and goes, kept by digest, given to the engine from the device itself."""
