"""The compressed swap store behind one small interface: ``stores`` has bring_up, take_down, status of either kind."""
