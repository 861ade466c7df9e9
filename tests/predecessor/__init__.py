"""The predecessor: its files in their exact form, and its defects, which must not return."""
