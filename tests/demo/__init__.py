"""The demo: the bank at work on a private cluster, shown and checked (scripts/demo)."""
