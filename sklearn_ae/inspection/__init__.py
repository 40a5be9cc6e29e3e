"""Pictures of what was learned; matplotlib is imported when one is drawn."""
