"""The compressed swap store behind one small interface: ``zram_store`` has bring_up, take_down, status."""
