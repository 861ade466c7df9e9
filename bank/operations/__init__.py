"""The imperative shell: read, decide, write, act. The only place with an order of events."""
