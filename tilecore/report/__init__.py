"""What a run did, drawn."""
