"""What tasks need of the sources, brought to where workers can read it."""
