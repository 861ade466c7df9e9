"""The bank's own routes over HTTP, under /v1, and what those who watch it ask."""
