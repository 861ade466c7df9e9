"""The books: entries, chains, totals. Pure: standard library only, no clock, no input or output."""
