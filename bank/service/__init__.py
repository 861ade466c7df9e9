"""The process that answers: its sockets, its one committing thread, its start and its stop."""
