"""The emulated board: builds, boots and measures a small ARM machine; nothing here ships with lmkd."""
