"""The seeds' names, to be imported in place of their modules. No logic lives here."""
