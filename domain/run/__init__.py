"""One run: what triggered it, its plan, and which jobs are next."""
