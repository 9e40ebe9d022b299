"""What forges send, as the events that `on` can name."""
