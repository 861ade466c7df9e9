"""The database: the only room that knows SQL.

Statements are SQL text with :name parameters that SQLite, PostgreSQL and MariaDB all understand.
"""
