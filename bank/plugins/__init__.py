"""What Slurm calls at a job's submission, start and end, and the routes that answer it."""
