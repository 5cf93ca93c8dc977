"""Worker processes: claim a job, supervise the training process, recover what was lost."""
