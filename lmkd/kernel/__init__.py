"""One kernel interface a file: parsing is pure, reading takes the root of /proc and /sys as a parameter."""
