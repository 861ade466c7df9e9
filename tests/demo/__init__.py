"""The demo: the bank's main job on a private cluster, shown and checked (scripts/demo)."""
