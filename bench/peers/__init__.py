"""Other people's systems, installed at locked versions into environments of their own inside the clone, and run as they come."""
