"""The command line: docopt dictionary, operation, text."""
