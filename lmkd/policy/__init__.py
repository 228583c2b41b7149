"""The decisions, pure: no clock, no file, no socket. ``step`` takes what was observed and answers with actions."""
