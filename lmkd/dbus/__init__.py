"""The bridge to D-Bus: a process of its own, for boards with a system bus; nothing resident imports it."""
