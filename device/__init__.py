"""The worker: what runs on a device, applies desired states through an engine and reports what became of them."""
