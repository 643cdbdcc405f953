"""The contract both sides meet on: ids, AppSpec, messages, channels, envelopes, the MQTT session, broker files."""
