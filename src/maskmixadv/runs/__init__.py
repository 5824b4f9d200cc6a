"""What a run was told, and what it leaves: run.json, its checkpoint."""
