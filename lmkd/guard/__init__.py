"""The resident guard: observes, decides by ``lmkd.policy``, acts, records. It never scans, sleeps or works long."""
