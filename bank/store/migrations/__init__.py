"""The schema's past, forward only: each module brings the database to the next version."""

# The version that this program reads and writes. Known here without loading the migrations, because
# every command compares it.
NEWEST = 2
