"""The helper: all that is slow (candidates, reaping, holders of tmpfs, hooks, log, clients), at low priority."""
