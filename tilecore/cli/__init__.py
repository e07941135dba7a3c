"""The command ``tilecore``: one module a subcommand, imported when it is called."""
