"""The command ``tilecore``: one module for each subcommand, imported when it is called."""
