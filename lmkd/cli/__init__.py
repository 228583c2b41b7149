"""The command line: one command a file; ``main`` finds the command and maps errors to exit codes."""
