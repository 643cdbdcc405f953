"""The control plane: API, store, ingest, publisher, authorities, registry."""
