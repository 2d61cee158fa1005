"""Results for people and programs: records, text tables, run folders."""
